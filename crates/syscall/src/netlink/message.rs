//! Requests as bytes, replies from bytes (netlink(7); all numbers in the machine's byte order).

use rustix::io::Errno;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct nlattr`.
const ATTRIBUTE: usize = 4;

/// Several requests that go out together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    asked: Vec<&'static str>,
}

impl Batch {
    /// Adds a request: `asked` says what for, in the form that follows "cannot"; `kind` and
    /// `flags` are the header's (`NLM_F_REQUEST` is implied); `head` is the fixed part.
    pub fn add(&mut self, asked: &'static str, kind: u16, flags: i32, head: &[u8]) -> Request<'_> {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or(u16::MAX);
        let start = self.bytes.len();
        self.starts.push(start);
        self.asked.push(asked);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(head);
        pad(&mut self.bytes);
        set_length(&mut self.bytes, start);
        Request {
            bytes: &mut self.bytes,
            start,
        }
    }

    /// The bytes to send, numbered from `first`, and what each request asked for; nothing when
    /// nothing was asked. Linux reports every failure by itself, so that only the last request
    /// wants an answer in any case.
    pub(super) fn finish(
        mut self,
        first: u32,
        acknowledged: bool,
    ) -> Option<(Vec<u8>, Vec<&'static str>)> {
        let last = *self.starts.last()?;
        for (number, start) in (0u32..).zip(&self.starts) {
            put(
                &mut self.bytes,
                start + 8,
                &first.wrapping_add(number).to_ne_bytes(),
            );
        }
        if acknowledged {
            let flags = u16::from_ne_bytes([self.bytes[last + 6], self.bytes[last + 7]]);
            let ack = u16::try_from(libc::NLM_F_ACK).unwrap_or_default();
            put(&mut self.bytes, last + 6, &(flags | ack).to_ne_bytes());
        }
        Some((self.bytes, self.asked))
    }
}

/// A request that is being written.
#[derive(Debug)]
pub struct Request<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl Request<'_> {
    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.nested(kind, |inner| inner.raw(value))
    }

    /// Adds an attribute that holds others.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        put(self.bytes, at, &length.to_ne_bytes());
        pad(self.bytes);
        set_length(self.bytes, self.start);
        self
    }

    /// Adds bytes as they are: a fixed part inside an attribute.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn set_length(bytes: &mut [u8], start: usize) {
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    put(bytes, start, &length.to_ne_bytes());
}

/// One message of what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A request is done, or refused with an error.
    Ended {
        /// Its number.
        sequence: u32,
        /// Why it was refused; none when it was done.
        errno: Option<Errno>,
    },
    /// An entry of a list, or news.
    Entry {
        /// The number of the request; 0 for news that nobody asked for.
        sequence: u32,
        /// The message's type.
        kind: u16,
        /// What follows the header.
        payload: &'a [u8],
    },
}

/// The messages in `bytes`. Ends at the first that is not whole.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        if length < HEADER || length > bytes.len() {
            return None;
        }
        let reply = one(&bytes[..length])?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

fn one(message: &[u8]) -> Option<Reply<'_>> {
    let kind = u16_at(message, 4)?;
    let flags = i32::from(u16_at(message, 6)?);
    let sequence = u32_at(message, 8)?;
    let payload = &message[HEADER..];
    let ended = |errno| Some(Reply::Ended { sequence, errno });
    match i32::from(kind) {
        libc::NLMSG_ERROR | libc::NLMSG_DONE => ended(errno_at(payload)),
        _ if flags & libc::NLM_F_DUMP_INTR != 0 => ended(Some(Errno::INTR)),
        _ => Some(Reply::Entry {
            sequence,
            kind,
            payload,
        }),
    }
}

/// The error that a payload begins with: a negative number, 0 for none.
fn errno_at(payload: &[u8]) -> Option<Errno> {
    let code = u32_at(payload, 0)?.cast_signed();
    (code != 0).then(|| Errno::from_raw_os_error(code.wrapping_neg()))
}

/// The attributes in `bytes` with their kinds (the two flag bits cleared). Ends at the first
/// that is not whole.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The text of a string attribute, without the zero at its end.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number at `at`, if there are four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_lengths_padding_and_numbers() {
        let mut batch = Batch::default();
        batch.add("a", 16, 0, &[1; 5]).attribute(3, b"lo\0");
        batch.add("b", 17, 0, &[]).nested(5, |inner| {
            inner.attribute(6, &[9]);
        });
        let (bytes, asked) = batch.finish(7, true).unwrap();
        assert_eq!(asked, ["a", "b"]);
        assert_eq!(bytes.len(), (16 + 8 + 8) + (16 + 4 + 8));
        let seen: Vec<_> = replies(&bytes).collect();
        let [first, second] = seen[..] else {
            panic!("{seen:?}")
        };
        let Reply::Entry {
            sequence: 7,
            kind: 16,
            payload,
        } = first
        else {
            panic!("{first:?}")
        };
        assert_eq!(
            attributes(&payload[8..]).collect::<Vec<_>>(),
            [(3, &b"lo\0"[..])]
        );
        let Reply::Entry {
            sequence: 8,
            kind: 17,
            payload,
        } = second
        else {
            panic!("{second:?}")
        };
        let (5, inner) = attributes(payload).next().unwrap() else {
            panic!("{payload:?}")
        };
        assert_eq!(attributes(inner).collect::<Vec<_>>(), [(6, &[9][..])]);
        // Only the last one asks for an answer.
        assert_eq!((bytes[6], bytes[32 + 6]), (1, 5));
    }

    #[test]
    fn cut_or_lying_messages_end_the_list() {
        let mut batch = Batch::default();
        batch.add("a", 16, 0, &[1; 8]).attribute(3, b"abcdef");
        let (bytes, _) = batch.finish(1, false).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(replies(&bytes[..cut]).count(), 0, "{cut}");
        }
        for length in [0u32, 15, u32::MAX] {
            let mut lying = bytes.clone();
            put(&mut lying, 0, &length.to_ne_bytes());
            assert_eq!(replies(&lying).count(), 0, "{length}");
        }
        assert_eq!(
            attributes(&[3, 0, 1, 0]).count(),
            0,
            "shorter than its own header"
        );
        assert_eq!(
            attributes(&[9, 0, 1, 0, 7]).count(),
            0,
            "longer than what is there"
        );
    }
}
