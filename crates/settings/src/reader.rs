//! Which text wins, and what is remembered about it.

use crate::file::Line;
use crate::load::{Flag, SettingError};
use crate::source::{Host, Source};
use crate::value::{Accept, Raw, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A line of `soulbox.toml`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag on the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Everything that is known about one setting after loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key in `soulbox.toml`, such as `sandbox.cpu`.
    pub key: String,
    /// The variable, such as `SOULBOX_SANDBOX_CPU`.
    pub variable: String,
    /// What it is, as the declaration says.
    pub about: &'static str,
    /// The word for its type.
    pub kind: &'static str,
    /// The accepted values in words; empty when the type says it all.
    pub accepted: String,
    /// The value when nobody says otherwise.
    pub default: String,
    /// The value in force.
    pub value: String,
    /// Where the value in force came from.
    pub origin: Origin,
}

/// The name and documentation of a setting, as declared.
pub struct Definition {
    /// The section; empty for the settings at the top of the file.
    pub section: &'static str,
    /// The name inside the section.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
}

impl Definition {
    fn key(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// The variable that carries the setting `key`.
pub(crate) fn variable_of(key: &str) -> String {
    format!("SOULBOX_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Reads settings one after the other and remembers each.
pub struct Reader<'s> {
    pub(crate) source: &'s dyn Source,
    pub(crate) host: Host,
    pub(crate) flags: &'s [Flag],
    pub(crate) path: &'s Path,
    pub(crate) lines: BTreeMap<String, Line>,
    pub(crate) entries: Vec<Entry>,
}

impl Reader<'_> {
    /// Reads one setting: the first of flag, variable, file and default.
    ///
    /// # Errors
    /// [`SettingError`] when the text that wins is refused.
    pub fn read<T: Value>(
        &mut self,
        definition: &Definition,
        default: impl FnOnce(&Host) -> T,
        accept: &Accept<T>,
    ) -> Result<T, SettingError> {
        let key = definition.key();
        let variable = variable_of(&key);
        let default = default(&self.host);
        let shown_default = default.show();
        let (value, origin) = match self.winner(&key, &variable)? {
            None => (default, Origin::Default),
            Some((raw, origin)) => (checked(&key, &raw, &origin, accept)?, origin),
        };
        self.entries.push(Entry {
            key,
            variable,
            about: definition.about,
            kind: T::KIND,
            accepted: accept.words.clone(),
            default: shown_default,
            value: value.show(),
            origin,
        });
        Ok(value)
    }

    fn winner(&self, key: &str, variable: &str) -> Result<Option<(Raw, Origin)>, SettingError> {
        if let Some(flag) = self.flags.iter().rfind(|flag| flag.key == key) {
            let raw = Raw::One(flag.value.clone());
            return Ok(Some((raw, Origin::Flag(flag.flag.to_owned()))));
        }
        if let Some(text) = self.source.variable(variable) {
            let text = text.into_string().map_err(|_| SettingError::NotText {
                variable: variable.to_owned(),
            })?;
            // An empty variable counts as not set: shells make it hard to tell the two apart.
            if !text.trim().is_empty() {
                return Ok(Some((
                    Raw::One(text),
                    Origin::Variable(variable.to_owned()),
                )));
            }
        }
        Ok(self.lines.get(key).map(|line| {
            let origin = Origin::File {
                path: self.path.to_owned(),
                line: line.line,
            };
            (line.raw.clone(), origin)
        }))
    }
}

fn checked<T: Value>(
    key: &str,
    raw: &Raw,
    origin: &Origin,
    accept: &Accept<T>,
) -> Result<T, SettingError> {
    let refuse = |reason| SettingError::Value {
        key: key.to_owned(),
        origin: origin.clone(),
        reason,
        accepted: match accept.words.as_str() {
            "" => T::KIND.to_owned(),
            words => words.to_owned(),
        },
    };
    let value = T::read(raw).map_err(refuse)?;
    if !accept.accepts(&value) {
        return Err(refuse(format!("{:?} is out of range", value.show())));
    }
    Ok(value)
}
