//! A stream of [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).

use crate::error::RemoteError;
use crate::exchange::ExchangeError;
use crate::server::{Question, Server};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// The longest line of a stream without files, in bytes: an event is a few hundred.
const LONGEST: usize = 256 * 1024;

/// A message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// What kind.
    pub kind: String,
    /// What it holds.
    pub data: String,
}

/// A stream that is followed. It has no time limit: the next message may come any day.
pub struct Follow {
    server: Server,
    body: Incoming,
    reader: Reader,
    /// The longest line that is read.
    most: usize,
}

impl Follow {
    /// Begins to follow.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn open(server: &Server, path: &str) -> Result<Self, RemoteError> {
        Self::ask(server, Question::bare(Method::GET, path), LONGEST).await
    }

    /// As [`Follow::open`], of the answer to any question, in which a line has at most `most` bytes.
    pub(crate) async fn ask(
        server: &Server,
        question: Question<'_>,
        most: usize,
    ) -> Result<Self, RemoteError> {
        let response = server.open(question).await?;
        Ok(Self {
            server: server.clone(),
            body: response.into_body(),
            reader: Reader::default(),
            most,
        })
    }

    /// Who is followed.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The next message; none at the stream's end.
    ///
    /// # Errors
    /// The connection broke, or a line is too long.
    pub async fn next(&mut self) -> Result<Option<Message>, RemoteError> {
        let url = self.server.url();
        loop {
            if let Some(message) = self.reader.message() {
                return Ok(Some(message));
            }
            let limit = self.most;
            if self.reader.rest.len() > limit || self.reader.data.len() > limit {
                return Err(RemoteError::of(url, ExchangeError::TooLarge { limit }));
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
    /// How much of it is known to hold no end of a line.
    looked: usize,
    kind: String,
    data: String,
}

impl Reader {
    fn end_of_line(&mut self) -> Option<usize> {
        let new = self.rest.iter().skip(self.looked);
        let end = new.enumerate().find(|(_, byte)| **byte == b'\n');
        let end = end.map(|(at, _)| at + self.looked);
        self.looked = end.map_or(self.rest.len(), |_| 0);
        end
    }

    /// The next message of what has come.
    fn message(&mut self) -> Option<Message> {
        while let Some(end) = self.end_of_line() {
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
