//! A stream of [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).

use super::error::RemoteError;
use super::exchange::ExchangeError;
use super::server::{Question, Server};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// The longest line, in bytes: an event is a few hundred.
const LONGEST: usize = 256 * 1024;

/// A message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// What kind.
    pub(crate) kind: String,
    /// What it holds.
    pub(crate) data: String,
}

/// A stream that is followed. It has no time limit: the next message may come any day.
pub(crate) struct Follow<'s> {
    server: &'s Server,
    body: Incoming,
    reader: Reader,
}

impl<'s> Follow<'s> {
    /// Begins to follow.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn open(server: &'s Server, path: &str) -> Result<Self, RemoteError> {
        let response = server.open(Question::bare(Method::GET, path)).await?;
        Ok(Self {
            server,
            body: response.into_body(),
            reader: Reader::default(),
        })
    }

    /// The next message; none at the stream's end.
    ///
    /// # Errors
    /// The connection broke, or a line is too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, RemoteError> {
        let url = self.server.url();
        loop {
            if let Some(message) = self.reader.message() {
                return Ok(Some(message));
            }
            if self.reader.rest.len() > LONGEST || self.reader.data.len() > LONGEST {
                return Err(RemoteError::of(
                    url,
                    ExchangeError::TooLarge { limit: LONGEST },
                ));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| RemoteError::of(url, error.into()))?;
            if let Ok(bytes) = frame.into_data() {
                self.reader.rest.extend_from_slice(&bytes);
            }
        }
    }
}

/// Lines that become messages.
#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    kind: String,
    data: String,
}

impl Reader {
    /// The next message of what has come.
    fn message(&mut self) -> Option<Message> {
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && !self.data.is_empty() => {
                    return Some(Message {
                        kind: std::mem::take(&mut self.kind),
                        data: std::mem::take(&mut self.data),
                    });
                }
                "event" => value.clone_into(&mut self.kind),
                "data" => self.data.push_str(value),
                // A comment that keeps the connection alive, an id, or what is not known.
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let text =
            b": hello\r\n\nid: 1\nevent: created\ndata: {\"a\":\ndata: 1}\n\ndata: x\n\nevent: cut";
        for step in 1..text.len() {
            let mut reader = Reader::default();
            let mut all = Vec::new();
            for piece in text.chunks(step) {
                reader.rest.extend_from_slice(piece);
                while let Some(message) = reader.message() {
                    all.push((message.kind, message.data));
                }
            }
            let expected = [("created", "{\"a\":1}"), ("", "x")];
            assert_eq!(
                all,
                expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())),
                "{step}"
            );
        }
    }
}
