//! What this machine has of what SoulBox needs. Each requirement is one [`Check`]; all of them
//! read the machine through [`Machine`], so that every answer is a unit test.

mod cgroup;
mod linux;
pub(crate) mod machine;
mod network;
mod pool;
mod privilege;
mod storage;
mod tool;
mod user;

pub(crate) use machine::Machine;

use serde::Serialize;
use soulbox_settings::Settings;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// It is there.
    Found,
    /// It is not there, and something that is not the main work suffers.
    Wanting,
    /// It is not there, and `soulbox run` cannot work.
    Missing,
}

/// One requirement and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What is looked for.
    pub(crate) name: &'static str,
    /// Whether it is there.
    pub(crate) finding: Finding,
    /// What was seen.
    pub(crate) seen: String,
    /// Why it matters.
    pub(crate) why: &'static str,
    /// The command or step that mends it; none when it is there.
    pub(crate) mend: Option<String>,
}

impl Check {
    /// It is there.
    fn found(name: &'static str, why: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            finding: Finding::Found,
            seen: seen.into(),
            why,
            mend: None,
        }
    }

    /// It is not there, and `run` cannot work.
    fn missing(
        name: &'static str,
        why: &'static str,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            finding: Finding::Missing,
            mend: Some(mend.into()),
            ..Self::found(name, why, seen)
        }
    }

    /// It is not there, and something else suffers.
    fn wanting(
        name: &'static str,
        why: &'static str,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            finding: Finding::Wanting,
            ..Self::missing(name, why, seen, mend)
        }
    }
}

/// Every check, in the order in which they are told.
pub(crate) fn examine(machine: &Machine, settings: &Settings) -> Vec<Check> {
    let mut checks = privilege::checks(machine);
    checks.extend(linux::checks(machine));
    let user = privilege::user(machine);
    match user {
        None => {
            checks.extend(linux::checks_of_root(machine));
            checks.extend(cgroup::checks(machine));
        }
        Some(uid) => checks.extend(user::checks(machine, uid)),
    }
    checks.extend(storage::checks(machine, settings));
    checks.extend(pool::checks(machine, settings));
    if user.is_none() {
        checks.extend(network::checks(machine, settings));
    }
    checks.extend(tool::checks(machine, settings));
    checks
}

/// How cgroups are laid out on this machine, in a word.
pub(crate) fn cgroup_layout() -> &'static str {
    match cgroup::layout(&Machine::this()) {
        cgroup::Layout::Unified => "v2",
        cgroup::Layout::Hybrid => "hybrid",
        cgroup::Layout::Legacy => "v1",
        cgroup::Layout::Absent => "absent",
    }
}

/// Whether `soulbox run` can work.
pub(crate) fn can_run(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.finding != Finding::Missing)
}
