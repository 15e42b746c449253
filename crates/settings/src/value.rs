//! What a setting's text may be, and how a value is shown.

use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::duration;
use crate::subnet::Subnet;
use soulbox_model::{ByteSize, NetworkMode};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The text of a setting as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// One value.
    One(String),
    /// Several values: an array in `soulbox.toml`.
    List(Vec<String>),
}

impl Raw {
    fn one(&self) -> Result<&str, String> {
        match self {
            Self::One(text) => Ok(text.trim()),
            Self::List(_) => Err("one value is wanted, not a list".to_owned()),
        }
    }

    /// The values: a single text is split at commas.
    fn many(&self) -> Vec<&str> {
        let all: Vec<&str> = match self {
            Self::One(text) => text.split(',').collect(),
            Self::List(texts) => texts.iter().map(String::as_str).collect(),
        };
        all.into_iter()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect()
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(",")),
        }
    }
}

/// A type that a setting can have.
pub trait Value: Sized {
    /// The word for it in documents.
    const KIND: &'static str;

    /// Reads the text.
    ///
    /// # Errors
    /// Why the text was refused, in words.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// Writes the value so that it reads back the same.
    fn show(&self) -> String;
}

/// What a setting accepts beyond what its type does.
pub struct Accept<T> {
    test: Box<dyn Fn(&T) -> bool>,
    /// The accepted values in words; empty when the type says it all.
    pub words: String,
}

impl<T> Accept<T> {
    /// Everything that the type can say.
    pub fn any() -> Self {
        Self {
            test: Box::new(|_| true),
            words: String::new(),
        }
    }

    /// What `test` accepts, told as `words`.
    pub fn such(words: &str, test: impl Fn(&T) -> bool + 'static) -> Self {
        Self {
            test: Box::new(test),
            words: words.to_owned(),
        }
    }

    /// Whether `value` is accepted.
    pub fn accepts(&self, value: &T) -> bool {
        (self.test)(value)
    }
}

impl<T: Value + PartialOrd + 'static> Accept<T> {
    /// From `least` to `most`, both included.
    pub fn between(least: T, most: T) -> Self {
        let words = format!("{} to {}", least.show(), most.show());
        Self::such(&words, move |value| *value >= least && *value <= most)
    }
}

impl Value for Duration {
    const KIND: &'static str = "length of time";

    fn read(raw: &Raw) -> Result<Self, String> {
        duration::parse(raw.one()?).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        duration::show(*self)
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.one()? {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn read(raw: &Raw) -> Result<Self, String> {
        let path = Self::from(raw.one()?);
        if !path.is_absolute() {
            return Err(format!("{path:?} is not an absolute path"));
        }
        Ok(path)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for NetworkMode {
    const KIND: &'static str = "word";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.one()? {
            "none" => Ok(Self::None),
            "internet" => Ok(Self::Internet),
            other => Err(format!("{other:?} is no network")),
        }
    }

    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Value for String {
    const KIND: &'static str = "word";

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.one().map(str::to_owned)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Implements [`Value`] for a type that reads and shows itself.
macro_rules! by_text {
    ($($type:ty = $kind:literal),+) => {
        $(impl Value for $type {
            const KIND: &'static str = $kind;

            fn read(raw: &Raw) -> Result<Self, String> {
                let text = raw.one()?;
                text.parse().map_err(|error| format!("{text:?}: {error}"))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

by_text!(u32 = "whole number", IpAddr = "address");

/// The same for a type whose error already shows the text.
macro_rules! by_told_text {
    ($($type:ty = $kind:literal),+) => {
        $(impl Value for $type {
            const KIND: &'static str = $kind;

            fn read(raw: &Raw) -> Result<Self, String> {
                raw.one()?.parse().map_err(|error: <$type as std::str::FromStr>::Err| error.to_string())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

by_told_text!(
    Cpu = "number of CPUs",
    Backend = "word",
    ByteSize = "size",
    Subnet = "range of addresses"
);

/// Implements [`Value`] for a list.
macro_rules! list {
    ($($type:ty = $kind:literal),+) => {
        $(impl Value for Vec<$type> {
            const KIND: &'static str = $kind;

            fn read(raw: &Raw) -> Result<Self, String> {
                let each = |text: &str| <$type>::read(&Raw::One(text.to_owned()));
                raw.many().into_iter().map(each).collect()
            }

            fn show(&self) -> String {
                self.iter().map(Value::show).collect::<Vec<_>>().join(",")
            }
        })+
    };
}

list!(
    String = "list of words",
    PathBuf = "list of paths",
    IpAddr = "list of addresses",
    Subnet = "list of ranges of addresses"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Raw {
        Raw::One(text.to_owned())
    }

    #[test]
    fn lists_are_split_at_commas_or_given_as_arrays() {
        let both = [
            one("1.1.1.1, 9.9.9.9,"),
            Raw::List(vec!["1.1.1.1".into(), "9.9.9.9".into()]),
        ];
        for raw in both {
            assert_eq!(Vec::<IpAddr>::read(&raw).unwrap().show(), "1.1.1.1,9.9.9.9");
        }
        assert_eq!(Vec::<IpAddr>::read(&one("")), Ok(Vec::new()));
    }

    #[test]
    fn a_list_is_refused_where_one_value_is_wanted() {
        assert!(u32::read(&Raw::List(vec!["1".into()])).is_err());
    }

    #[test]
    fn paths_must_be_absolute() {
        assert!(PathBuf::read(&one("relative/path")).is_err());
        assert!(PathBuf::read(&one("/absolute")).is_ok());
    }

    #[test]
    fn ranges_include_both_ends() {
        let accept = Accept::between(1_u32, 3);
        assert_eq!(accept.words, "1 to 3");
        assert_eq!(
            [0, 1, 3, 4].map(|n| accept.accepts(&n)),
            [false, true, true, false]
        );
    }
}
