//! Names of values: paths like `sandbox/<id>`, in the order of their bytes.

use crate::bounds;
use std::ops::Bound;

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has no letter.
    #[error("a key is empty")]
    Empty,
    /// It is too long.
    #[error("a key of {0} bytes is too long: at most {max} are taken", max = bounds::KEY)]
    Long(usize),
    /// It has a control character, by which a prefix could end elsewhere than it seems to.
    #[error("the key {0:?} has a control character")]
    Control(String),
}

/// Whether a key may be used: 1 to [`bounds::KEY`] bytes without control characters.
pub fn check(key: &str) -> Result<(), KeyError> {
    match key {
        "" => Err(KeyError::Empty),
        key => fits(key),
    }
}

fn fits(text: &str) -> Result<(), KeyError> {
    if text.len() > bounds::KEY {
        return Err(KeyError::Long(text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(KeyError::Control(text.to_owned()));
    }
    Ok(())
}

/// Several keys that lie together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Every key that begins so; an empty prefix means all keys.
    Prefix(String),
    /// From the first, which belongs to it, to the second, which does not.
    Between(String, String),
}

impl Span {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::Prefix(prefix.into())
    }

    /// Whether it may be used: its ends are keys, or empty.
    pub fn check(&self) -> Result<(), KeyError> {
        match self {
            Self::Prefix(prefix) => fits(prefix),
            Self::Between(start, end) => fits(start).and_then(|()| fits(end)),
        }
    }

    /// Whether `key` belongs to it.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::Between(start, end) => start.as_str() <= key && key < end.as_str(),
        }
    }

    /// Its first key, which belongs to it, and the one behind its last, if there is one.
    #[must_use]
    pub fn ends(&self) -> (Vec<u8>, Bound<Vec<u8>>) {
        match self {
            Self::Prefix(prefix) => (prefix.clone().into_bytes(), behind(prefix)),
            Self::Between(start, end) => (
                start.clone().into_bytes(),
                Bound::Excluded(end.clone().into_bytes()),
            ),
        }
    }
}

/// The first key behind all those that begin with `prefix`.
fn behind(prefix: &str) -> Bound<Vec<u8>> {
    let mut bytes = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 0xff, so the last one always has a next one.
    match bytes.last_mut() {
        Some(last) => {
            *last = last.saturating_add(1);
            Bound::Excluded(bytes)
        }
        None => Bound::Unbounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_have_no_control_characters() {
        assert_eq!(check(""), Err(KeyError::Empty));
        assert_eq!(check(&"k".repeat(bounds::KEY)), Ok(()));
        assert!(matches!(
            check(&"k".repeat(bounds::KEY + 1)),
            Err(KeyError::Long(_))
        ));
        assert!(matches!(check("a\0b"), Err(KeyError::Control(_))));
        assert_eq!(check("sandbox/ä"), Ok(()));
    }

    #[test]
    fn ends_of_a_prefix_hold_what_begins_with_it() {
        let (start, end) = Span::prefix("a/").ends();
        assert_eq!(start, b"a/");
        assert_eq!(end, Bound::Excluded(b"a0".to_vec()));
        assert_eq!(Span::prefix("").ends().1, Bound::Unbounded);
    }
}
