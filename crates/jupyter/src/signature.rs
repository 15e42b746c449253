//! Who may speak with a kernel: whoever has the key of its connection file, with which messages are signed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;

/// The name of the method in connection files.
pub(crate) const SCHEME: &str = "hmac-sha256";

/// A key.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl Key {
    pub(crate) fn new(text: &str) -> Option<Self> {
        // Keys may have every length.
        Hmac::new_from_slice(text.as_bytes()).ok().map(Self)
    }

    /// The signature of a message's parts, in hexadecimal digits.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> String {
        let code = self.over(parts).finalize().into_bytes();
        hexadecimal(&code)
    }

    /// Whether the signature is that of the parts. Takes as long for a wrong one as for a right one.
    pub(crate) fn is_right(&self, signature: &[u8], parts: &[&[u8]]) -> bool {
        let code = bytes(signature);
        code.is_some_and(|code| self.over(parts).verify_slice(&code).is_ok())
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

/// Two digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_jupyter() {
        let key = Key::new("key").unwrap();
        let parts: [&[u8]; 2] = [b"The quick brown fox ", b"jumps over the lazy dog"];
        let known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert_eq!(key.sign(&parts), known);
        assert!(key.is_right(known.as_bytes(), &parts));
        assert!(!key.is_right(known.as_bytes(), &parts[..1]));
        for wrong in ["", "f7", "zz", "\u{e4}", &known[1..]] {
            assert!(!key.is_right(wrong.as_bytes(), &parts), "{wrong}");
        }
    }
}
