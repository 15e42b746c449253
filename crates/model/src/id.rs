//! Names of things: checked on the way in, never a bare string afterwards.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or longer than the noun allows.
    #[error("{noun} {text:?} must have 1 to {max} characters")]
    Length {
        /// What was being named.
        noun: &'static str,
        /// The refused text, cut to 80 characters.
        text: String,
        /// The longest text that is accepted.
        max: usize,
    },
    /// A character outside the noun's alphabet.
    #[error("{noun} {text:?} may only hold {alphabet}")]
    Alphabet {
        /// What was being named.
        noun: &'static str,
        /// The refused text, cut to 80 characters.
        text: String,
        /// The accepted characters, in words.
        alphabet: &'static str,
    },
}

pub(crate) fn check(
    noun: &'static str,
    text: &str,
    max: usize,
    alphabet: &'static str,
    accepts: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    let shown = || text.chars().take(80).collect::<String>();
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length {
            noun,
            text: shown(),
            max,
        });
    }
    if !text.chars().all(accepts) {
        return Err(IdError::Alphabet {
            noun,
            text: shown(),
            alphabet,
        });
    }
    Ok(())
}

/// The id of a sandbox: 1 to 40 characters of `[a-z0-9]`.
///
/// The alphabet is what E2B's host names allow: `<port>-<id>.<domain>` is split at the dash
/// (see `docs/architecture.md`, "Names").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxId(String);

impl SandboxId {
    /// The longest id, in characters.
    pub const MAX: usize = 40;

    /// Makes an id of `i` and 20 characters from 20 random bytes (about 103 bits).
    pub fn from_random(random: [u8; 20]) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(21);
        text.push('i');
        for byte in random {
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SandboxId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check("sandbox id", text, Self::MAX, "a-z and 0-9", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit()
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SandboxId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<SandboxId> for String {
    fn from(id: SandboxId) -> Self {
        id.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a template: 1 to 64 characters of `[a-z0-9._-]`, beginning with a letter or digit,
/// so that it is a file name too and can never climb out of its directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(String);

impl TemplateName {
    /// The longest name, in characters.
    pub const MAX: usize = 64;
    /// The template that is built in: the host's `/usr` with an `/etc` of its own.
    pub const HOST: &'static str = "host";

    /// The built-in template `host`.
    pub fn host() -> Self {
        Self(Self::HOST.to_owned())
    }

    /// True for the built-in template `host`.
    pub fn is_host(&self) -> bool {
        self.0 == Self::HOST
    }

    /// A name as people and clients write it, `name` or `name:tag`: a tag is a part of the name
    /// behind a dot, and `latest` and `default` are none.
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn of_tagged(text: &str) -> Result<Self, IdError> {
        match text.split_once(':') {
            None | Some((_, "")) => text.parse(),
            Some((name, "latest" | "default")) => name.parse(),
            Some((name, tag)) => format!("{name}.{tag}").parse(),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const ALPHABET: &str = "a-z, 0-9, '.', '_' and '-', and begins with a letter or digit";
        check("template name", text, Self::MAX, ALPHABET, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
        })?;
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(IdError::Alphabet {
                noun: "template name",
                text: text.to_owned(),
                alphabet: ALPHABET,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TemplateName {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TemplateName> for String {
    fn from(name: TemplateName) -> Self {
        name.0
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a team: 1 to 64 characters of `[a-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TeamId(String);

impl TeamId {
    /// The longest id, in characters.
    pub const MAX: usize = 64;

    /// The team that a server has from the beginning.
    pub fn default_team() -> Self {
        Self("default".to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TeamId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check("team id", text, Self::MAX, "a-z, 0-9 and '-'", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TeamId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TeamId> for String {
    fn from(id: TeamId) -> Self {
        id.0
    }
}

impl fmt::Display for TeamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_ids_hold_no_dash_and_no_capital() {
        assert!("iabc09".parse::<SandboxId>().is_ok());
        for bad in ["", "a-b", "A", "ä", "a b", &"a".repeat(41)] {
            assert!(bad.parse::<SandboxId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_are_valid() {
        let id = SandboxId::from_random([255; 20]);
        assert_eq!(id.as_str().parse::<SandboxId>().as_ref(), Ok(&id));
        assert_eq!(id.as_str().len(), 21);
    }

    #[test]
    fn template_names_never_climb() {
        assert!("python-3.11_x".parse::<TemplateName>().is_ok());
        for bad in ["..", ".", "a/b", "-x", "A", "", "a\0b"] {
            assert!(bad.parse::<TemplateName>().is_err(), "{bad:?}");
        }
    }
}
