//! Asking a sandbox's agent for a connection to one of the sandbox's own ports.
//!
//! On the agent's socket, instead of HTTP: `DIAL <port>` and a line's end, which come in one piece and are
//! the first bytes of a connection. The answer is one byte, an [`Answer`]; with [`Answer::Connected`] comes
//! the connection itself, as a descriptor (`SCM_RIGHTS`, see unix(7)), so that the agent copies nothing of
//! what goes over it. Then the agent hangs up.

use std::num::NonZeroU16;

/// How a request begins. No method of HTTP has this name.
const WORD: &[u8] = b"DIAL ";

/// Bytes of the longest request, `DIAL 65535` and the line's end.
pub const LONGEST: usize = 11;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// The connection stands, and comes with this.
    Connected = b'+',
    /// Nothing listens on that port.
    Refused = b'-',
    /// What listens there did not take the connection in time.
    Timeout = b't',
    /// The agent could not try: it lacks descriptors or memory.
    Failed = b'!',
    /// The request was none.
    Malformed = b'?',
}

impl Answer {
    /// The answer that a byte stands for.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        let all = [
            Self::Connected,
            Self::Refused,
            Self::Timeout,
            Self::Failed,
            Self::Malformed,
        ];
        all.into_iter().find(|answer| *answer as u8 == byte)
    }
}

/// The request for a connection to `port`.
#[must_use]
pub fn request(port: NonZeroU16) -> Vec<u8> {
    let mut request = WORD.to_vec();
    request.extend_from_slice(port.to_string().as_bytes());
    request.push(b'\n');
    request
}

/// Whether a connection that begins with `bytes` asks for a connection and not in HTTP.
#[must_use]
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.starts_with(WORD)
}

/// The port that a request names; none when it is not exactly one.
#[must_use]
pub fn port(request: &[u8]) -> Option<NonZeroU16> {
    let digits = request.strip_prefix(WORD)?.strip_suffix(b"\n")?;
    let plain = digits.first().is_some_and(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        for number in [1, 80, 49_983, 65_535] {
            let number = NonZeroU16::new(number).unwrap();
            let request = request(number);
            assert!(request.len() <= LONGEST && is_request(&request));
            assert_eq!(port(&request), Some(number));
        }
        for wrong in [
            "DIAL 80",
            "DIAL 80\r\n",
            "DIAL 0\n",
            "DIAL 65536\n",
            "DIAL +80\n",
            "DIAL -1\n",
            "DIAL \n",
            "DIAL  80\n",
            "dial 80\n",
            "DIAL 80\n\n",
            "DELETE /files HTTP/1.1\r\n",
            "",
        ] {
            assert_eq!(port(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert!(!is_request(b"DELETE / HTTP/1.1\r\n"));
    }

    #[test]
    fn answers_are_their_bytes() {
        for byte in 0..=u8::MAX {
            if let Some(answer) = Answer::of(byte) {
                assert_eq!(answer as u8, byte);
            }
        }
        assert_eq!(Answer::of(b'+'), Some(Answer::Connected));
        assert_eq!(Answer::of(0), None);
    }
}
