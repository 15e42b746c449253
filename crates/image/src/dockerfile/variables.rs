//! The variables of a stage: those of ENV and those of ARG, which share their names.

use super::error::{Problem, Warning};
use super::words::{Replaced, Words};
use super::{Options, Platform};
use std::collections::{BTreeMap, HashSet};

/// Variables that a RUN gets from `--build-arg` without any ARG.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The most bytes that all replaced words of a file have together. Variables hold variables, so
/// a small file could ask for any number.
const MAX_REPLACED: usize = 16 << 20;

#[derive(Debug, Clone)]
struct Variable {
    value: String,
    /// Set by ARG: it is not there in the template.
    argument: bool,
}

/// The variables at one place of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(BTreeMap<String, Variable>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.insert(name, value, false);
    }

    pub(super) fn set_argument(&mut self, name: &str, value: &str) {
        self.insert(name, value, true);
    }

    fn insert(&mut self, name: &str, value: &str, argument: bool) {
        let value = value.to_owned();
        self.0.insert(name.to_owned(), Variable { value, argument });
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|variable| variable.value.as_str())
    }

    /// Those that only the commands of the build see.
    fn arguments(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0
            .iter()
            .filter(|(_, variable)| variable.argument)
            .map(|(name, variable)| (name, &variable.value))
    }
}

/// Replaces variables, and keeps account of what that takes.
pub(super) struct Replacer<'a> {
    options: &'a Options,
    escape: char,
    replaced: usize,
    /// Names of `--build-arg` that some ARG has asked for.
    asked: HashSet<String>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Replacer<'a> {
    pub(super) fn new(options: &'a Options, escape: char) -> Self {
        Self {
            options,
            escape,
            replaced: 0,
            asked: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    /// One word with its variables replaced and without its quotes.
    pub(super) fn word(
        &mut self,
        line: u32,
        word: &str,
        variables: &Variables,
    ) -> Result<String, Problem> {
        self.replace(line, word, variables, self.escape, false)
    }

    /// The text of a here-document, whose quotes stay.
    pub(super) fn text(
        &mut self,
        line: u32,
        text: &str,
        variables: &Variables,
    ) -> Result<String, Problem> {
        self.replace(line, text, variables, '\\', true)
    }

    fn replace(
        &mut self,
        line: u32,
        word: &str,
        variables: &Variables,
        escape: char,
        keep_quotes: bool,
    ) -> Result<String, Problem> {
        let value = |name: &str| variables.get(name).map(str::to_owned);
        let words = Words {
            value: &value,
            escape,
            keep_quotes,
        };
        let Replaced { text, unset } = words.replace(word)?;
        self.spend(text.len())?;
        for name in unset {
            let text = format!("${name} is not set and counts as empty");
            let warning = Warning { line, text };
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(text)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        self.replaced += bytes;
        match self.replaced > MAX_REPLACED {
            true => Err(Problem::new(format!(
                "with its variables replaced the file has more than {} MiB",
                MAX_REPLACED >> 20
            ))
            .help("does a variable hold itself several times?")),
            false => Ok(()),
        }
    }

    /// The value of an argument that an ARG declares: from outside, by default, or from the
    /// arguments before the first stage.
    pub(super) fn argument(
        &mut self,
        line: u32,
        name: &str,
        default: Option<&str>,
        variables: &Variables,
        global: Option<&str>,
    ) -> Result<Option<String>, Problem> {
        let given = self
            .options
            .args
            .iter()
            .rev()
            .find(|(given, _)| given == name);
        if let Some((_, value)) = given {
            self.asked.insert(name.to_owned());
            self.spend(value.len())?;
            return Ok(Some(value.clone()));
        }
        match default {
            Some(default) => self.word(line, default, variables).map(Some),
            None => Ok(global.map(str::to_owned)),
        }
    }

    /// The variables that only one RUN sees.
    pub(super) fn of_run(
        &mut self,
        variables: &Variables,
    ) -> Result<Vec<(String, String)>, Problem> {
        let mut env: Vec<(String, String)> = variables
            .arguments()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in &self.options.args {
            if PROXIES.contains(&name.as_str()) && variables.get(name).is_none() {
                env.push((name.clone(), value.clone()));
            }
        }
        self.spend(
            env.iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
        )?;
        Ok(env)
    }

    /// Tells which values nobody has asked for.
    pub(super) fn warn_of_unused(&mut self) {
        for (name, _) in &self.options.args {
            if !self.asked.contains(name) && !PROXIES.contains(&name.as_str()) {
                self.warnings.push(Warning {
                    line: 0,
                    text: format!("no ARG {name} takes the value that --build-arg gives"),
                });
            }
        }
    }
}

/// The arguments that are there without ARG before the first FROM, and in a stage with one.
pub(super) fn of_platform(platform: &Platform, target: &str) -> Variables {
    let mut variables = Variables::default();
    let Platform { os, arch } = platform;
    for side in ["BUILD", "TARGET"] {
        variables.set_argument(&format!("{side}PLATFORM"), &format!("{os}/{arch}"));
        variables.set_argument(&format!("{side}OS"), os);
        variables.set_argument(&format!("{side}ARCH"), arch);
        variables.set_argument(&format!("{side}VARIANT"), "");
    }
    variables.set_argument("TARGETSTAGE", target);
    variables
}
