//! Templates of a server: how they, their names and their builds are called.

use crate::id::{IdError, TeamId, TemplateName, check};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The id of a template of a server: 20 characters of `[a-z0-9]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateId(String);

impl TemplateId {
    /// How many characters it has.
    pub const LENGTH: usize = 20;

    /// An id from random bytes.
    pub fn from_random(random: [u8; Self::LENGTH]) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let letter = |byte: u8| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
        Self(random.into_iter().map(letter).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a build of it is called on disk: `<id>.<12 digits of the build>`.
    ///
    /// # Errors
    /// Never in practice: both parts are such as names may hold.
    pub fn on_disk(&self, build: &BuildId) -> Result<TemplateName, IdError> {
        let build: String = build.0.chars().filter(|c| *c != '-').take(DIGITS).collect();
        format!("{self}.{build}").parse()
    }

    /// The template that a name on disk is a build of, if it is one.
    pub fn of_build(name: &TemplateName) -> Option<Self> {
        let (id, build) = name.as_str().split_once('.')?;
        let digits = build.len() == DIGITS && build.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| id.parse().ok()).flatten()
    }
}

/// Digits of a build in the name of its tree.
const DIGITS: usize = 12;

impl FromStr for TemplateId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const NOUN: &str = "template id";
        check(NOUN, text, Self::LENGTH, "a-z and 0-9", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit()
        })?;
        match text.len() == Self::LENGTH {
            true => Ok(Self(text.to_owned())),
            false => Err(IdError::Length {
                noun: NOUN,
                text: text.to_owned(),
                max: Self::LENGTH,
            }),
        }
    }
}

impl TryFrom<String> for TemplateId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TemplateId> for String {
    fn from(id: TemplateId) -> Self {
        id.0
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a build: a UUID in its usual form, for clients parse it as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId(String);

impl BuildId {
    /// A UUID of version 4 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.4)).
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut text = String::with_capacity(36);
        for (at, byte) in random.into_iter().enumerate() {
            let byte = match at {
                6 => 0x40 | byte & 0x0f,
                8 => 0x80 | byte & 0x3f,
                _ => byte,
            };
            if [4, 6, 8, 10].contains(&at) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BuildId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const NOUN: &str = "build id";
        const ALPHABET: &str = "a UUID in lower case: 8-4-4-4-12 hexadecimal digits";
        check(
            NOUN,
            text,
            36,
            ALPHABET,
            |c| matches!(c, '0'..='9' | 'a'..='f' | '-'),
        )?;
        match text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
            true => Ok(Self(text.to_owned())),
            false => Err(IdError::Alphabet {
                noun: NOUN,
                text: text.to_owned(),
                alphabet: ALPHABET,
            }),
        }
    }
}

impl TryFrom<String> for BuildId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> Self {
        id.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a client calls a template: `name`, `name:tag`, `namespace/name`, `namespace/name:tag`. An id
/// can stand in the place of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateReference {
    /// The team whose template it is; none: one's own, or the server's.
    pub namespace: Option<TeamId>,
    /// The name, or an id.
    pub name: String,
    /// The tag; none: [`TemplateReference::DEFAULT_TAG`].
    pub tag: Option<String>,
}

impl TemplateReference {
    /// The tag of a template that is named without one.
    pub const DEFAULT_TAG: &'static str = "default";
    /// The longest name and the longest tag, in characters.
    pub const MAX: usize = 64;

    /// The tag that is meant.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(Self::DEFAULT_TAG)
    }
}

impl FromStr for TemplateReference {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (path, tag) = match text.split_once(':') {
            Some((path, tag)) => (path, Some(template_tag(tag)?)),
            None => (text, None),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace.parse()?), name),
            None => (None, path),
        };
        Ok(Self {
            namespace,
            name: word("template name", name)?,
            tag,
        })
    }
}

/// A tag of a template.
///
/// # Errors
/// [`IdError`].
pub fn template_tag(text: &str) -> Result<String, IdError> {
    word("template tag", text)
}

fn word(noun: &'static str, text: &str) -> Result<String, IdError> {
    const ALPHABET: &str = "a-z, 0-9, '.', '_' and '-', and begins with a letter or digit";
    check(noun, text, TemplateReference::MAX, ALPHABET, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
    })?;
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err(IdError::Alphabet {
            noun,
            text: text.to_owned(),
            alphabet: ALPHABET,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_found_back_by_its_name_on_disk() {
        let id = TemplateId::from_random([7; 20]);
        let build = BuildId::from_random([255; 16]);
        assert_eq!(build.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(build.as_str().parse::<BuildId>().as_ref(), Ok(&build));
        let name = id.on_disk(&build).unwrap();
        assert_eq!(TemplateId::of_build(&name), Some(id));
        for other in ["base", "code-interpreter-v1", "a.b", "python3.11"] {
            assert_eq!(TemplateId::of_build(&other.parse().unwrap()), None);
        }
    }

    #[test]
    fn references_are_taken_apart() {
        let parts = |text: &str| {
            let found: TemplateReference = text.parse().ok()?;
            let namespace = found.namespace.as_ref().map(|team| team.to_string());
            Some((namespace, found.name.clone(), found.tag().to_owned()))
        };
        let some = |namespace: Option<&str>, name: &str, tag: &str| {
            Some((namespace.map(str::to_owned), name.into(), tag.into()))
        };
        assert_eq!(parts("mine"), some(None, "mine", "default"));
        assert_eq!(parts("mine:v1.2"), some(None, "mine", "v1.2"));
        assert_eq!(parts("acme/mine"), some(Some("acme"), "mine", "default"));
        assert_eq!(parts("acme/mine:v1"), some(Some("acme"), "mine", "v1"));
        for wrong in [
            "", ":", "a:", ":a", "/", "a/", "/a", "a/b/c", "a:b:c", "A", "..", "a b", "a\0", "-a",
        ] {
            assert_eq!(parts(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in ["", "abc", "ABCDEFGHIJKLMNOPQRST", &"a".repeat(21)] {
            assert!(wrong.parse::<TemplateId>().is_err(), "{wrong:?}");
        }
        for wrong in ["", "f", "------------------------------------"] {
            assert!(wrong.parse::<BuildId>().is_err(), "{wrong:?}");
        }
    }
}
