//! The options of an instruction: `--name=value` before its arguments.

use super::error::Problem;
use parse_dockerfile::Flag;

/// The options of one instruction, taken one by one; what is left at the end is unknown to it.
pub(super) struct Flags {
    instruction: &'static str,
    left: Vec<(String, Option<String>)>,
}

impl Flags {
    pub(super) fn new(instruction: &'static str, flags: &[Flag<'_>]) -> Self {
        let left = flags
            .iter()
            .map(|flag| {
                let value = flag.value.as_ref().map(|value| value.value.to_string());
                (flag.name.value.to_string(), value)
            })
            .collect();
        Self { instruction, left }
    }

    /// Every value of an option that may stand several times.
    pub(super) fn all(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let (taken, left) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|(flag, _)| flag == name);
        self.left = left;
        let taken: Vec<(String, Option<String>)> = taken;
        taken
            .into_iter()
            .map(|(_, value)| {
                value.ok_or_else(|| {
                    Problem::new(format!("{} --{name} has no value", self.instruction))
                        .help(format!("write --{name}=VALUE"))
                })
            })
            .collect()
    }

    /// The value of an option that stands once.
    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name)?;
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::new(format!(
                "{} has --{name} more than once",
                self.instruction
            ))),
        }
    }

    /// An option that is there or not.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, Problem> {
        for (flag, value) in &mut self.left {
            if flag == name && value.is_none() {
                *value = Some("true".to_owned());
            }
        }
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Problem::new(format!(
                "--{name}={other} is neither true nor false"
            ))),
        }
    }

    /// Refuses what nobody asked for.
    pub(super) fn end(self) -> Result<(), Problem> {
        let instruction = self.instruction;
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((name, _)) if name.is_empty() => Err(Problem::new(format!(
                "{instruction} has -- before its arguments"
            ))
            .help("remove the --")),
            Some((name, _)) => Err(Problem::new(format!(
                "{instruction} --{name} is not known here"
            ))
            .help("docs/templates.md tells which options are; remove it")),
        }
    }
}
