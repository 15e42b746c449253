//! ZMTP 3.0, what ZeroMQ's sockets speak (<https://rfc.zeromq.org/spec/23/>), as far as a client needs it that connects
//! over a Unix socket and authenticates nobody.
//!
//! The other side is a program of the sandbox's user: what it sends is bounded here, and what it only announces takes
//! no memory.

use bytes::Bytes;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of a greeting.
const GREETING: usize = 64;
/// Where in it the version is, and the name of the mechanism.
const VERSION: usize = 10;
const MECHANISM: std::ops::Range<usize> = 12..32;
/// The mechanism without any authentication.
const NULL: &[u8] = b"NULL";

/// More parts of the message follow.
const MORE: u8 = 1;
/// The length has eight bytes and not one.
const LONG: u8 = 2;
/// A command of the protocol, not a part of a message.
const COMMAND: u8 = 4;

/// Bytes of a command, at the most.
const LONGEST_COMMAND: u64 = 64 * 1024;

/// Parts of a message that are kept; Jupyter's have six, and those of a kernel with binary data some more.
const PARTS: usize = 16;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// Requests and their answers, in any order; under this name, at most 255 bytes, by which the other side knows that
    /// several sockets are one client's.
    Dealer(&'a str),
    /// Whatever the other side publishes.
    Subscriber,
}

/// A message as it was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its parts; those for which there was no room are empty.
    pub(crate) parts: Vec<Bytes>,
    /// Whether all parts are here and whole.
    pub(crate) is_whole: bool,
}

impl Message {
    /// Bytes of all parts.
    pub(crate) fn size(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

/// A length of eight bytes or one, then what has that length, behind flags.
fn frame(flags: u8, body: &[u8], to: &mut Vec<u8>) {
    match u8::try_from(body.len()) {
        Ok(length) => to.extend([flags, length]),
        Err(_) => {
            to.push(flags | LONG);
            to.extend((body.len() as u64).to_be_bytes());
        }
    }
    to.extend(body);
}

/// A message as it is sent.
pub(crate) fn message(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let flags = if at + 1 < parts.len() { MORE } else { 0 };
        frame(flags, part, &mut bytes);
    }
    bytes
}

/// Greets the other side and is greeted; a subscriber asks for everything.
///
/// # Errors
/// Those of the socket, and [`io::ErrorKind::InvalidData`] when the other side speaks something else.
pub(crate) async fn shake_hands(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    kind: Kind<'_>,
) -> io::Result<()> {
    socket.write_all(&greeting()).await?;
    let mut greeted = [0; GREETING];
    socket.read_exact(&mut greeted).await?;
    let mechanism = greeted.get(MECHANISM).unwrap_or_default();
    let version = greeted.get(VERSION).copied().unwrap_or_default();
    let known = mechanism.strip_prefix(NULL);
    let is_known = known.is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    if greeted.first() != Some(&0xff) || version < 3 || !is_known {
        return Err(wrong("it does not greet as ZeroMQ 4 does"));
    }
    let mut words = Vec::new();
    frame(COMMAND, &ready(kind), &mut words);
    socket.write_all(&words).await?;
    loop {
        let (flags, length) = head(socket).await?;
        if flags & COMMAND == 0 {
            return Err(wrong("it sends messages before it is ready"));
        }
        if command(socket, length).await?.starts_with(b"\x05READY") {
            break;
        }
    }
    if kind == Kind::Subscriber {
        // To everything: what begins with nothing.
        socket.write_all(&message(&[b"\x01"])).await?;
    }
    Ok(())
}

fn greeting() -> [u8; GREETING] {
    let mut greeting = [0; GREETING];
    let parts: [(usize, &[u8]); 3] = [
        (0, &[0xff]),
        // The end of the signature, then version 3.0.
        (9, &[0x7f, 3, 0]),
        (MECHANISM.start, NULL),
    ];
    for (at, part) in parts {
        let place = greeting.iter_mut().skip(at);
        place.zip(part).for_each(|(place, byte)| *place = *byte);
    }
    greeting
}

fn ready(kind: Kind<'_>) -> Vec<u8> {
    let mut words = b"\x05READY".to_vec();
    let mut property = |name: &str, value: &[u8]| {
        words.push(u8::try_from(name.len()).unwrap_or_default());
        words.extend(name.as_bytes());
        words.extend(u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
        words.extend(value);
    };
    match kind {
        Kind::Dealer(name) => {
            property("Socket-Type", b"DEALER");
            property("Identity", name.as_bytes());
        }
        Kind::Subscriber => property("Socket-Type", b"SUB"),
    }
    words
}

/// Waits for the next message. Parts that would make it larger than `most` bytes are passed over.
///
/// # Errors
/// Those of the socket, its end among them, and [`io::ErrorKind::InvalidData`].
pub(crate) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> io::Result<Message> {
    let mut received = Message {
        parts: Vec::new(),
        is_whole: true,
    };
    loop {
        let (flags, length) = head(from).await?;
        if flags & COMMAND != 0 {
            command(from, length).await?;
            continue;
        }
        let left = most.saturating_sub(received.size()) as u64;
        let is_kept = received.parts.len() < PARTS && length <= left;
        let mut part = Vec::new();
        let mut body = from.take(length);
        let read = match is_kept {
            true => body.read_to_end(&mut part).await? as u64,
            false => tokio::io::copy(&mut body, &mut tokio::io::sink()).await?,
        };
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.is_whole &= is_kept;
        if received.parts.len() < PARTS {
            received.parts.push(part.into());
        }
        if flags & MORE == 0 {
            return Ok(received);
        }
    }
}

/// The flags and the length of a frame.
async fn head(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, u64)> {
    let flags = from.read_u8().await?;
    let is_known =
        flags & !(MORE | LONG | COMMAND) == 0 && flags & (MORE | COMMAND) != MORE | COMMAND;
    if !is_known {
        return Err(wrong(&format!("a frame has the flags {flags:#x}")));
    }
    let length = match flags & LONG {
        0 => from.read_u8().await?.into(),
        _ => from.read_u64().await?,
    };
    Ok((flags, length))
}

/// Reads a command; one that says what is wrong is an error.
async fn command(from: &mut (impl AsyncRead + Unpin), length: u64) -> io::Result<Vec<u8>> {
    if length > LONGEST_COMMAND {
        return Err(wrong(&format!("a command has {length} bytes")));
    }
    let mut words = Vec::new();
    from.take(length).read_to_end(&mut words).await?;
    if words.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match words.strip_prefix(b"\x05ERROR") {
        Some(why) => Err(wrong(&String::from_utf8_lossy(why))),
        None => Ok(words),
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::UnixStream;

    /// What ZeroMQ 4.3 says to a subscriber, as recorded: its greeting of version 3.1 and its `READY`.
    fn publisher() -> Vec<u8> {
        let mut said = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
        said.extend(b"NULL");
        said.resize(GREETING, 0);
        said.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        said
    }

    #[tokio::test]
    async fn hands_are_shaken_and_everything_is_asked_for() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&publisher()).await.unwrap();
        shake_hands(&mut ours, Kind::Subscriber).await.unwrap();
        drop(ours);
        let mut told = Vec::new();
        theirs.read_to_end(&mut told).await.unwrap();
        assert_eq!(&told[..13], b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0N");
        let rest = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB\0\x01\x01";
        assert_eq!(&told[GREETING..], rest);
    }

    #[tokio::test]
    async fn others_are_refused() {
        let mut plain = publisher();
        plain[MECHANISM.start] = b'P';
        let mut old = publisher();
        old[VERSION] = 2;
        let mut early = publisher();
        early.splice(GREETING.., *b"\0\x01a");
        let mut failed = publisher();
        failed.splice(GREETING.., *b"\x04\x09\x05ERROR\x02no");
        for said in [plain, old, early, failed, b"HTTP/1.1".repeat(20)] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&said).await.unwrap();
            let refused = shake_hands(&mut ours, Kind::Dealer("a")).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{said:?}");
        }
    }

    #[tokio::test]
    async fn messages_come_back_as_they_were_sent() {
        let long = vec![7; 300];
        let sent = [message(&[b"a", b"", &long]), message(&[b"b"])].concat();
        let mut from = &sent[..];
        let first = receive(&mut from, 1000).await.unwrap();
        assert!(first.is_whole && first.parts == [&b"a"[..], b"", &long]);
        assert_eq!(receive(&mut from, 1000).await.unwrap().parts, [&b"b"[..]]);
        let end = receive(&mut from, 1000).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_too_large_is_passed_over_and_what_follows_is_heard() {
        let long = vec![7; 300];
        let mut many = vec![&b"x"[..]; 100];
        many.push(&long);
        let sent = [
            message(&[b"a", &long, b"c"]),
            message(&many),
            message(&[b"b"]),
        ]
        .concat();
        let mut from = &sent[..];
        let first = receive(&mut from, 299).await.unwrap();
        assert!(!first.is_whole);
        assert_eq!(first.parts, [&b"a"[..], b"", b"c"]);
        let second = receive(&mut from, 299).await.unwrap();
        assert!(!second.is_whole && second.parts.len() == PARTS);
        assert!(receive(&mut from, 299).await.unwrap().is_whole);
    }

    #[tokio::test]
    async fn a_length_that_is_only_announced_takes_no_memory() {
        for announced in [
            &b"\x02\xff\xff\xff\xff\xff\xff\xff\xffabc"[..],
            b"\x06\x7f\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let mut from = announced;
            assert!(receive(&mut from, usize::MAX).await.is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), most in 0_usize..400) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut from = &bytes[..];
                while let Ok(message) = receive(&mut from, most).await {
                    assert!(message.size() <= most && message.parts.len() <= PARTS);
                }
            });
        }
    }
}
