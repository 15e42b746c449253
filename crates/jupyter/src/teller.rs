//! What the agent is told: output is gathered for a moment, so that short prints are one piece, and all is in order.

use crate::cell::Failure;
use crate::frame::{PIECE, Say, Wrong, encode};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::Instant;

/// How long output waits for more of it, as in the Python kernel.
const GATHER: Duration = Duration::from_millis(25);

/// Output that waits.
struct Output {
    id: Option<String>,
    is_error: bool,
    text: String,
    since: Instant,
}

/// The agent's socket.
pub(crate) struct Teller {
    socket: OwnedWriteHalf,
    /// Frames that were not sent.
    frames: Vec<u8>,
    output: Option<Output>,
}

impl Teller {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        Self {
            socket,
            frames: Vec::new(),
            output: None,
        }
    }

    /// When output that waits is to be sent.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.output.as_ref().map(|output| output.since + GATHER)
    }

    /// Puts a frame behind all that was printed; false if it would be too long. It is sent by the next `flush`.
    pub(crate) fn say(&mut self, said: &Say<'_>) -> bool {
        self.put_output();
        let frame = encode(said);
        self.frames.extend(frame.iter().flatten());
        frame.is_some()
    }

    /// Tells output, a little later; waits while the agent does not read.
    pub(crate) async fn print(
        &mut self,
        id: Option<String>,
        is_error: bool,
        text: &str,
    ) -> io::Result<()> {
        let other = |output: &Output| output.is_error != is_error || output.id != id;
        if self.output.as_ref().is_some_and(other) {
            self.put_output();
        }
        let output = self.output.get_or_insert_with(|| Output {
            id,
            is_error,
            text: String::new(),
            since: Instant::now(),
        });
        output.text.push_str(text);
        match output.text.len() >= PIECE {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Tells what is wrong with a frame of the agent's.
    pub(crate) async fn refuse(&mut self, wrong: Wrong) -> io::Result<()> {
        let failure = Failure::new("BadRequest", wrong.why);
        match wrong.id {
            Some(id) => self.end(&id, Some(&failure)).await,
            None => {
                self.error(None, &failure);
                self.flush().await
            }
        }
    }

    /// Ends a request.
    pub(crate) async fn end(&mut self, id: &str, failure: Option<&Failure>) -> io::Result<()> {
        if let Some(failure) = failure {
            self.error(Some(id), failure);
        }
        let status = if failure.is_some() { "error" } else { "ok" };
        self.say(&Say::End { id, status });
        self.flush().await
    }

    fn error(&mut self, id: Option<&str>, failure: &Failure) {
        let told = self.say(&Say::Error {
            id,
            name: &failure.name,
            value: &failure.value,
            traceback: &failure.traceback,
        });
        if !told {
            self.say(&Say::Error {
                id,
                name: &failure.name.chars().take(256).collect::<String>(),
                value: "the error has more bytes than a frame",
                traceback: "",
            });
        }
    }

    /// Sends all so far; waits while the agent does not read.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.put_output();
        let frames = std::mem::take(&mut self.frames);
        self.socket.write_all(&frames).await
    }

    fn put_output(&mut self) {
        let Some(output) = self.output.take() else {
            return;
        };
        let mut rest = output.text.as_str();
        while !rest.is_empty() {
            let (piece, more) = cut(rest);
            let id = output.id.as_deref();
            let said = match output.is_error {
                true => Say::Stderr { id, text: piece },
                false => Say::Stdout { id, text: piece },
            };
            self.frames.extend(encode(&said).iter().flatten());
            rest = more;
        }
    }
}

/// Cuts off at most `PIECE` bytes, which are no more characters than that.
fn cut(text: &str) -> (&str, &str) {
    let mut at = text.len().min(PIECE);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn pieces_are_bounded_and_whole_characters() {
        let text = "\u{e4}".repeat(PIECE);
        let (piece, rest) = cut(&text);
        assert_eq!((piece.len(), rest.len()), (PIECE, PIECE));
        let text = format!("a{}", "\u{e4}".repeat(PIECE));
        assert_eq!(cut(&text).0.len(), PIECE - 1);
    }

    #[tokio::test]
    async fn short_prints_are_one_piece_and_come_before_the_end() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let (_reader, writer) = ours.into_split();
        let mut teller = Teller::new(writer);
        for text in ["a", "b\n"] {
            teller
                .print(Some("1".to_owned()), false, text)
                .await
                .unwrap();
        }
        assert!(teller.due().is_some());
        teller.print(Some("1".to_owned()), true, "c").await.unwrap();
        teller.end("1", None).await.unwrap();
        assert!(teller.due().is_none());
        drop((teller, _reader));
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        let places: Vec<_> = ["ab\\n", "stderr", "\"end\""]
            .iter()
            .map(|word| text.find(word).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
    }
}
