//! What the kernel's process writes itself, past its channels: programs that code has started, and libraries in C.
//! Before the kernel serves it is its log.

use std::convert::Infallible;
use std::io;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{ChildStderr, ChildStdout};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Bytes that are taken at the end of a cell, at the most: as much as a pipe of Linux holds.
const REST: usize = 64 * 1024;

/// One stream.
struct Stream {
    is_error: bool,
    /// None once it has ended.
    pipe: Option<Receiver>,
    /// The beginning of a character whose rest is to come.
    begun: Vec<u8>,
}

/// Both streams of a kernel's process.
pub(crate) struct Raw {
    output: Stream,
    errors: Stream,
}

/// Text, and whether it is of standard error.
pub(crate) type Text = (bool, String);

impl Raw {
    /// # Errors
    /// Linux's own.
    pub(crate) fn new(output: ChildStdout, errors: ChildStderr) -> io::Result<Self> {
        let stream = |is_error, pipe| {
            Ok::<_, io::Error>(Stream {
                is_error,
                pipe: Some(Receiver::from_owned_fd(pipe)?),
                begun: Vec::new(),
            })
        };
        Ok(Self {
            output: stream(false, output.into_owned_fd()?)?,
            errors: stream(true, errors.into_owned_fd()?)?,
        })
    }

    /// Writes all to this program's own standard error, for as long as it is waited for.
    pub(crate) async fn log(&mut self) -> Infallible {
        loop {
            let (_, text) = self.next().await;
            let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
        }
    }

    /// Waits for text. Nothing is lost when it is dropped while it waits.
    pub(crate) async fn next(&mut self) -> Text {
        loop {
            tokio::select! {
                () = self.output.readable() => {}
                () = self.errors.readable() => {}
            }
            let read = Receiver::try_read;
            if let Some(text) = self.output.read(read).or_else(|| self.errors.read(read)) {
                return text;
            }
        }
    }

    /// What was written until now.
    pub(crate) fn rest(&mut self) -> Vec<Text> {
        let mut texts = Vec::new();
        for stream in [&mut self.output, &mut self.errors] {
            for _ in 0..REST / CHUNK {
                // Linux is asked itself: what was written just now, the runtime has not heard of.
                texts.extend(stream.read(|pipe, bytes| Ok(rustix::io::read(pipe, bytes)?)));
            }
        }
        texts
    }
}

impl Stream {
    async fn readable(&self) {
        match &self.pipe {
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads once, if there is something.
    fn read(
        &mut self,
        from: impl FnOnce(&Receiver, &mut [u8]) -> io::Result<usize>,
    ) -> Option<Text> {
        let mut bytes = std::mem::take(&mut self.begun);
        let begun = bytes.len();
        bytes.resize(begun + CHUNK, 0);
        let read = from(self.pipe.as_ref()?, bytes.get_mut(begun..)?);
        bytes.truncate(begun + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(length) if length > 0 => {
                let rest = bytes.split_off(whole(&bytes));
                self.begun = rest;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.begun = bytes;
                return None;
            }
            _ => self.pipe = None,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (!text.is_empty()).then_some((self.is_error, text))
    }
}

/// How many of the bytes are no beginning of a character whose rest is to come.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::unix::pipe;

    #[test]
    fn characters_are_not_cut() {
        assert_eq!(whole("a\u{e4}".as_bytes()), 3);
        assert_eq!(whole(b"a\xc3"), 1);
        assert_eq!(whole(b"a\xff\xc3b"), 4);
    }

    #[tokio::test]
    async fn both_streams_are_read_to_their_ends() {
        let stream = |is_error| {
            let (writer, reader) = pipe::pipe().unwrap();
            let pipe = Some(reader);
            let begun = Vec::new();
            (
                writer,
                Stream {
                    is_error,
                    pipe,
                    begun,
                },
            )
        };
        let (mut out, output) = stream(false);
        let (mut err, errors) = stream(true);
        let mut raw = Raw { output, errors };
        assert!(raw.rest().is_empty());
        out.write_all(b"a\xc3").await.unwrap();
        assert_eq!(raw.next().await, (false, "a".to_owned()));
        out.write_all(b"\xa4\xc3").await.unwrap();
        err.write_all(b"e").await.unwrap();
        let rest = [(false, "\u{e4}".to_owned()), (true, "e".to_owned())];
        assert_eq!(raw.rest(), rest);
        drop((out, err));
        assert_eq!(raw.next().await, (false, "\u{fffd}".to_owned()));
        assert!(raw.rest().is_empty());
    }
}
