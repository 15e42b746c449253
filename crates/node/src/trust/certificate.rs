//! Certificates in PEM, read strictly: nothing but certificates, and above all no private key,
//! gets from the operator's files into a sandbox.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The most certificates of one file. All public authorities are some 150.
const MOST: usize = 1000;
/// How long lines of a block are written (RFC 7468).
const LINE: usize = 64;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// What is wrong with a file, in the form that follows its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too many bytes.
    #[error("has more than {0} bytes")]
    TooLarge(u64),
    /// Too many certificates.
    #[error("has more than {MOST} certificates")]
    TooMany,
    /// None.
    #[error("has no certificate; it must be PEM: -----BEGIN CERTIFICATE-----")]
    None,
    /// A private key.
    #[error("has a private key, which must not get into sandboxes: give the certificate alone")]
    PrivateKey,
    /// Another kind of block.
    #[error("has a block {0:?}; only CERTIFICATE is understood")]
    Block(String),
    /// A block without its end.
    #[error("breaks off in certificate {0}")]
    Unfinished(usize),
    /// A block that is no certificate inside.
    #[error("has a damaged certificate {0}")]
    Damaged(usize),
}

/// Reads the certificates of a file and writes them anew, one after the other; what stands
/// between them is left out.
///
/// # Errors
/// There are none, too many, or something else.
pub fn read(text: &[u8]) -> Result<String, CertificateError> {
    // A certificate in PEM is ASCII; what is not may stand between them.
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim);
    let mut written = String::new();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|l| l.strip_suffix("-----"))
        else {
            continue;
        };
        match label {
            "CERTIFICATE" => {}
            key if key.contains("PRIVATE KEY") => return Err(CertificateError::PrivateKey),
            other => return Err(CertificateError::Block(other.chars().take(40).collect())),
        }
        count += 1;
        if count > MOST {
            return Err(CertificateError::TooMany);
        }
        let mut encoded = String::new();
        loop {
            match lines.next() {
                Some("-----END CERTIFICATE-----") => break,
                Some(line) if !line.starts_with('-') => encoded += line,
                _ => return Err(CertificateError::Unfinished(count)),
            }
        }
        let damaged = CertificateError::Damaged(count);
        let bytes = STANDARD.decode(&encoded).map_err(|_| damaged.clone())?;
        if !is_certificate(&bytes) {
            return Err(damaged);
        }
        write(&mut written, &encoded);
    }
    if count == 0 {
        Err(CertificateError::None)
    } else {
        Ok(written)
    }
}

fn write(to: &mut String, encoded: &str) {
    *to += "-----BEGIN CERTIFICATE-----\n";
    let mut rest = encoded;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        *to += line;
        to.push('\n');
        rest = after;
    }
    *to += "-----END CERTIFICATE-----\n";
}

/// Whether bytes have the outer shape of a certificate (RFC 5280, 4.1): a sequence of what is
/// certified, the algorithm and the signature, and nothing more.
fn is_certificate(bytes: &[u8]) -> bool {
    let whole = || {
        let (inner, after) = element(bytes, SEQUENCE)?;
        let (certified, rest) = element(inner, SEQUENCE)?;
        let (_, rest) = element(rest, SEQUENCE)?;
        let (signature, rest) = element(rest, BIT_STRING)?;
        Some(after.is_empty() && rest.is_empty() && !certified.is_empty() && !signature.is_empty())
    };
    whole().unwrap_or(false)
}

/// The content of a DER element of this kind, and what follows it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = bytes else {
        return None;
    };
    if *first != kind {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            rest.get(2..)?,
        ),
        0x83 => {
            let [high, middle, low] = *rest.first_chunk()?;
            (
                u32::from_be_bytes([0, high, middle, low]) as usize,
                rest.get(3..)?,
            )
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sequence of what the tests need to look like a certificate.
    fn shape(certified: usize) -> Vec<u8> {
        let element = |kind: u8, content: &[u8]| {
            let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[kind, 0x82, high, low], content].concat()
        };
        let inner = [
            element(SEQUENCE, &vec![7; certified]),
            element(SEQUENCE, &[6]),
            element(BIT_STRING, &[0, 1, 2]),
        ];
        element(SEQUENCE, &inner.concat())
    }

    fn pem(label: &str, bytes: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(bytes)
        )
    }

    #[test]
    fn certificates_are_written_anew_and_the_rest_left_out() {
        let text = format!(
            "subject=ours\r\n{}between \u{fffd}\n{}",
            pem("CERTIFICATE", &shape(200)),
            pem("CERTIFICATE", &shape(1)).replace('\n', "\r\n")
        );
        let written = read(text.as_bytes()).unwrap();
        assert_eq!(written.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
        assert!(!written.contains("ours") && !written.contains("between"));
        assert!(written.lines().all(|line| line.len() <= LINE));
        assert_eq!(read(written.as_bytes()).unwrap(), written);
    }

    #[test]
    fn whatever_is_not_a_certificate_is_refused() {
        let good = pem("CERTIFICATE", &shape(20));
        let refused = |text: &str| read(text.as_bytes()).unwrap_err();
        assert_eq!(refused(""), CertificateError::None);
        assert_eq!(refused("hello"), CertificateError::None);
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let text = format!("{good}{}", pem(label, b"secret"));
            assert_eq!(refused(&text), CertificateError::PrivateKey, "{label}");
        }
        let request = pem("CERTIFICATE REQUEST", b"x");
        assert_eq!(
            refused(&request),
            CertificateError::Block("CERTIFICATE REQUEST".into())
        );
        let cut = &good[..good.len() - 30];
        assert_eq!(refused(cut), CertificateError::Unfinished(1));
        let within = good.replacen("MI", "-----BEGIN PRIVATE KEY-----\nMI", 1);
        assert!(read(within.as_bytes()).is_err());
        let bad = pem("CERTIFICATE", b"not DER");
        assert_eq!(
            refused(&format!("{good}{bad}")),
            CertificateError::Damaged(2)
        );
        let trailing = [shape(20), vec![0]].concat();
        assert_eq!(
            refused(&pem("CERTIFICATE", &trailing)),
            CertificateError::Damaged(1)
        );
        assert_eq!(refused(&good.repeat(MOST + 1)), CertificateError::TooMany);
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&text);
            let _ = is_certificate(&text);
        }

        #[test]
        fn a_damaged_frame_does_not_get_through(at in 0usize..8, value: u8) {
            // Longer than what a length of one byte can tell, so that none happens to be right.
            let good = shape(300);
            let mut bad = good.clone();
            bad[at] = value;
            prop_assert_eq!(is_certificate(&bad), bad == good);
        }
    }
}
