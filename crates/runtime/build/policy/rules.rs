//! `policy/seccomp.toml`: reading it, checking it, and numbering its calls.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The processors that the product runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// By the name that Rust gives it.
    pub(crate) fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            _ => Err(format!(
                "there is no system-call policy for the processor {name}"
            )),
        }
    }

    /// Linux's mark for its 64-bit interface (include/uapi/linux/audit.h).
    pub(crate) fn token(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
        }
    }

    /// The number of a call, if this processor's Linux has it.
    pub(crate) fn number(self, call: &str) -> Option<u32> {
        let id = match self {
            Self::X86_64 => call.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            Self::Aarch64 => call.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
        };
        u32::try_from(id).ok()
    }
}

/// What the filter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The call is made.
    Allow,
    /// The call is not made and fails with this error; 0 is success.
    Errno(u16),
    /// The call is not made and the caller gets SIGSYS, which ends it unless it has a handler.
    Trap,
}

impl Answer {
    /// As Linux writes it (include/uapi/linux/seccomp.h).
    pub(crate) fn value(self) -> u32 {
        match self {
            Self::Allow => 0x7FFF_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trap => 0x0003_0000,
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        // The numbers are the same on both processors (include/uapi/asm-generic/errno*.h).
        Ok(match name {
            "allow" => Self::Allow,
            "EPERM" => Self::Errno(1),
            "EINVAL" => Self::Errno(22),
            "ENOSYS" => Self::Errno(38),
            "EPROTONOSUPPORT" => Self::Errno(93),
            "EAFNOSUPPORT" => Self::Errno(97),
            _ => return Err(format!("there is no answer {name:?}")),
        })
    }
}

/// What an argument must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Which argument, 0 to 5.
    pub(crate) argument: u32,
    /// All 64 bits count, not only the lower half.
    pub(crate) wide: bool,
    /// Bits that count, for `Is` and `IsNot`.
    pub(crate) mask: u64,
    pub(crate) demand: Demand,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Demand {
    Is(BTreeSet<u64>),
    IsNot(BTreeSet<u64>),
    WithoutBits(u64),
}

/// An answer for certain arguments: all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) when: Vec<Condition>,
    pub(crate) then: Answer,
}

/// The answer to a call: that of the first case that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) cases: Vec<Case>,
    pub(crate) otherwise: Answer,
    /// The calls as they stand in the file.
    pub(crate) calls: Vec<String>,
    /// The answer as the file says it.
    pub(crate) says: String,
    pub(crate) reason: String,
}

/// The whole policy for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) architecture: Architecture,
    pub(crate) rules: Vec<Rule>,
    /// Call numbers to places in `rules`.
    pub(crate) by_number: BTreeMap<u32, usize>,
    /// For numbers that are not there.
    pub(crate) unknown: Answer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    allow: Vec<Group>,
    check: Vec<Group>,
    refuse: Vec<Group>,
    ignore: Vec<Group>,
}

/// An entry of the file; which fields it may have depends on its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    numbers: Vec<u32>,
    answer: Option<String>,
    otherwise: Option<String>,
    #[serde(default)]
    case: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    reason: String,
    when: Vec<WrittenCondition>,
    then: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    argument: u32,
    width: u32,
    mask: Option<u64>,
    is: Option<BTreeMap<String, u64>>,
    is_not: Option<BTreeMap<String, u64>>,
    without_bits: Option<BTreeMap<String, u64>>,
    only_bits: Option<BTreeMap<String, u64>>,
}

/// Reads the policy.
pub(crate) fn parse(text: &str, architecture: Architecture) -> Result<Rules, String> {
    let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
    // A call that no entry names came to Linux after this list: programs fall back.
    let unknown = Answer::Errno(38);
    let mut rules = Rules {
        architecture,
        rules: Vec::new(),
        by_number: BTreeMap::new(),
        unknown,
    };
    for group in &document.allow {
        group.fields(false, false)?;
        rules.add(group, Vec::new(), Answer::Allow, "allow")?;
    }
    for group in &document.check {
        group.fields(false, true)?;
        let otherwise = group.otherwise.as_deref().unwrap_or_default();
        let cases = group.case.iter().map(case).collect::<Result<_, _>>();
        let cases = cases.map_err(|error| format!("{:?}: {error}", group.calls))?;
        rules.add(
            group,
            cases,
            Answer::parse(otherwise)?,
            &format!("check, else {otherwise}"),
        )?;
    }
    for group in &document.refuse {
        group.fields(true, false)?;
        let answer = group.answer.as_deref().unwrap_or_default();
        rules.add(group, Vec::new(), Answer::parse(answer)?, answer)?;
    }
    for group in &document.ignore {
        group.fields(false, false)?;
        rules.add(group, Vec::new(), Answer::Errno(0), "succeeds, not done")?;
    }
    Ok(rules)
}

impl Group {
    /// Checks that the fields of its kind are there and no others.
    fn fields(&self, answer: bool, cases: bool) -> Result<(), String> {
        let whole = self.answer.is_some() == answer
            && self.otherwise.is_some() == cases
            && self.case.is_empty() != cases
            && !(self.calls.is_empty() && self.numbers.is_empty())
            && !self.reason.trim().is_empty()
            && self.calls.is_sorted();
        whole.then_some(()).ok_or_else(|| {
            format!(
                "the entry of {:?} lacks a field, has one too many, or is not sorted",
                self.calls
            )
        })
    }
}

impl Rules {
    fn add(
        &mut self,
        group: &Group,
        cases: Vec<Case>,
        otherwise: Answer,
        says: &str,
    ) -> Result<(), String> {
        let mut numbers = group.numbers.clone();
        for call in &group.calls {
            let mine = self.architecture.number(call);
            let anywhere = [Architecture::X86_64, Architecture::Aarch64].map(|a| a.number(call));
            match mine {
                Some(number) => numbers.push(number),
                None if anywhere.iter().any(Option::is_some) => {}
                None => return Err(format!("Linux has no system call {call:?}")),
            }
        }
        for number in numbers {
            if self.by_number.insert(number, self.rules.len()).is_some() {
                return Err(format!("{:?}: a call stands twice", group.calls));
            }
        }
        self.rules.push(Rule {
            cases,
            otherwise,
            calls: group.calls.clone(),
            says: says.to_owned(),
            reason: group.reason.clone(),
        });
        Ok(())
    }
}

/// What a zygote may ask of Linux beyond what a sandbox may.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beyond {
    allow: Vec<Group>,
}

impl Rules {
    /// The rules of a zygote: these, with the calls of `text` allowed whatever the arguments.
    pub(crate) fn of_zygote(&self, text: &str) -> Result<Self, String> {
        let Beyond { allow } = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut rules = self.clone();
        for group in &allow {
            group.fields(false, false)?;
            for call in &group.calls {
                let number = self.architecture.number(call);
                let number = number.ok_or_else(|| format!("Linux has no system call {call:?}"))?;
                if rules.by_number.remove(&number).is_none() {
                    return Err(format!("{call:?}: no rule of sandboxes names it"));
                }
            }
            rules.add(group, Vec::new(), Answer::Allow, "allow")?;
        }
        Ok(rules)
    }
}

fn case(written: &WrittenCase) -> Result<Case, String> {
    if written.reason.trim().is_empty() || written.when.is_empty() {
        return Err("a case lacks its reason or its conditions".to_owned());
    }
    let when = written
        .when
        .iter()
        .map(condition)
        .collect::<Result<_, _>>()?;
    let then = written
        .then
        .as_deref()
        .map_or(Ok(Answer::Allow), Answer::parse)?;
    Ok(Case { when, then })
}

fn condition(written: &WrittenCondition) -> Result<Condition, String> {
    let all = match written.width {
        32 => u64::from(u32::MAX),
        64 => u64::MAX,
        width => return Err(format!("an argument has 32 or 64 bits, not {width}")),
    };
    let mask = written.mask.unwrap_or(all);
    let set = |values: &BTreeMap<String, u64>| values.values().copied().collect::<BTreeSet<_>>();
    let bits = |values: &BTreeMap<String, u64>| values.values().fold(0, |all, bit| all | bit);
    let (values, demand) = match (
        &written.is,
        &written.is_not,
        &written.without_bits,
        &written.only_bits,
    ) {
        (Some(v), None, None, None) => (v, Demand::Is(set(v))),
        (None, Some(v), None, None) => (v, Demand::IsNot(set(v))),
        (None, None, Some(v), None) => (v, Demand::WithoutBits(bits(v))),
        (None, None, None, Some(v)) => (v, Demand::WithoutBits(all & !bits(v))),
        _ => return Err("a condition has one of is, is_not, without_bits, only_bits".to_owned()),
    };
    let fits = values.values().all(|value| value & !(mask & all) == 0);
    if !fits || mask & !all != 0 || written.argument > 5 || values.is_empty() {
        return Err(format!(
            "a condition on argument {} cannot hold",
            written.argument
        ));
    }
    Ok(Condition {
        argument: written.argument,
        wide: written.width == 64,
        mask,
        demand,
    })
}

/// The rules as a Rust table, for people to read.
pub(crate) fn source(rules: &Rules) -> String {
    let mut source = String::from(
        "/// What a sandbox may ask of Linux, in the order of `policy/seccomp.toml`.\n\
         pub static SYSTEM_CALLS: &[CallRule] = &[\n",
    );
    for Rule {
        calls,
        says,
        reason,
        ..
    } in &rules.rules
    {
        // Writing to a string does not fail.
        let _ = writeln!(
            source,
            "    CallRule {{ calls: &{calls:?}, answer: {says:?}, reason: {reason:?} }},"
        );
    }
    source + "];\n"
}
