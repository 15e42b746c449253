//! Connections of the host's own: a preface by which one is known, then frames of JSON with descriptors beside them.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::net::RecvFlags;
use serde::de::DeserializeOwned;
use soulbox_syscall::passing;
use soulbox_wire::connect::FrameReader;
use std::collections::VecDeque;
use std::io;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Whether a connection that was just accepted begins with this preface; waits for its first bytes.
pub(crate) async fn begins_with(stream: &UnixStream, preface: &[u8]) -> bool {
    let mut first = vec![0; preface.len()];
    let peek = || {
        let peeked = rustix::net::recv(stream, &mut first[..], RecvFlags::PEEK);
        Ok(peeked.map(|(_, length)| length)?)
    };
    let peeked = stream.async_io(Interest::READABLE, peek).await;
    // The host writes the preface at once, so it comes at once.
    peeked.is_ok_and(|length| length == first.len()) && first == preface
}

/// What comes on such a connection.
pub(crate) struct Frames<'s> {
    stream: &'s UnixStream,
    reader: FrameReader,
    files: VecDeque<OwnedFd>,
    piece: Vec<u8>,
    /// Bytes of the preface that were not read yet.
    preface: usize,
}

impl<'s> Frames<'s> {
    /// Of a connection that begins with `preface`; a frame has `most` bytes, and `piece` bytes are read at once.
    pub(crate) fn new(stream: &'s UnixStream, preface: &[u8], most: usize, piece: usize) -> Self {
        Self {
            stream,
            reader: FrameReader::new(most),
            files: VecDeque::new(),
            piece: vec![0; piece],
            preface: preface.len(),
        }
    }

    /// Waits until there is more; false: nothing comes any more.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        let (stream, piece, files) = (self.stream, &mut self.piece, &mut self.files);
        let receive = || Ok(passing::receive(stream, piece, files)?);
        let length = stream.async_io(Interest::READABLE, receive).await?;
        let skipped = self.preface.min(length);
        self.preface -= skipped;
        self.reader
            .push(self.piece.get(skipped..length).unwrap_or_default());
        Ok(length > 0)
    }

    /// The next request that has come whole, with its descriptor if it is one that has any.
    pub(crate) fn next<R: DeserializeOwned>(
        &mut self,
        has_descriptor: impl Fn(&R) -> bool,
    ) -> io::Result<Option<(R, Option<OwnedFd>)>> {
        let Some(frame) = self.reader.next_frame().map_err(io::Error::other)? else {
            return Ok(None);
        };
        let request = serde_json::from_slice(&frame.payload)?;
        let file = match has_descriptor(&request) {
            true => self.files.pop_front(),
            false => None,
        };
        Ok(Some((request, file)))
    }
}

/// Sends a frame, with the descriptor that goes along.
pub(crate) async fn send(
    stream: &UnixStream,
    frame: &[u8],
    mut file: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut left = frame;
    while !left.is_empty() {
        let send = || Ok(passing::send(stream, left, file)?);
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        // It went along with the first bytes.
        file = None;
        left = left.get(sent..).unwrap_or_default();
    }
    Ok(())
}
