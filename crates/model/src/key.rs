//! Keys of the programming interface: given out once, kept as hashes only.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A key as its holder sends it.
///
/// The form is E2B's, `e2b_` and 40 hexadecimal digits, which all versions of its SDKs accept. Neither
/// `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// What every key of ours begins with.
    pub const PREFIX: &'static str = "e2b_";
    /// The longest key that an operator may choose.
    pub const MAX: usize = 256;

    /// A key of 20 random bytes.
    pub fn from_random(random: [u8; 20]) -> Self {
        Self(format!("{}{}", Self::PREFIX, hex(&random)))
    }

    /// A key that an operator chose, or a client sent; nothing if it is empty, too long or not made
    /// of visible ASCII characters.
    pub fn given(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The key itself, for its holder alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it. Keys hold 160 random bits, so that one round of SHA-256 is enough: there
    /// is nothing to guess.
    pub fn hash(&self) -> KeyHash {
        KeyHash(hex(&Sha256::digest(self.0.as_bytes())))
    }

    /// What may be shown of it: its first and last four characters.
    pub fn hint(&self) -> String {
        match (self.0.get(..8), self.0.len().checked_sub(4)) {
            (Some(head), Some(tail)) if self.0.len() >= 24 => {
                format!("{head}…{}", self.0.get(tail..).unwrap_or_default())
            }
            _ => "…".to_owned(),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The SHA-256 of a key, in hexadecimal digits. Hashes may be compared in any time: who guesses keys
/// cannot choose what their hashes begin with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyHash(String);

impl KeyHash {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_form_that_sdks_check() {
        let key = ApiKey::from_random([0xab; 20]);
        assert_eq!(key.reveal().len(), 44);
        assert!(key.reveal().starts_with("e2b_abab"));
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        assert!(!key.hint().contains(&key.reveal()[8..36]));
    }

    #[test]
    fn a_hash_is_of_the_whole_key() {
        let hash = |text| ApiKey::given(text).map(|key| key.hash());
        assert_eq!(hash("local"), hash("local"));
        assert_ne!(hash("local"), hash("locak"));
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(257)] {
            assert_eq!(hash(bad), None, "{bad:?}");
        }
    }
}
