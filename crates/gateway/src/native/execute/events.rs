//! A run as server-sent events ([the standard](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! | Event | Data |
//! |---|---|
//! | `started` | `sandbox`, `template`, `language` |
//! | `stdout`, `stderr` | `text`, or `base64` where it is no UTF-8 |
//! | `exit` | the answer without the output; the stream ends |
//! | `error` | `code` and `message`; the stream ends |
//!
//! Ids count from 1. A program waits while its reader does not read; a reader that goes away ends the run.

use super::answer;
use super::ask::Job;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::stream::{Events, KEEPALIVE, STILL_HERE, respond};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use soulbox_control::{Listener, Started};
use soulbox_model::TeamId;
use soulbox_node::execute::{Channel, Sink};
use std::io::{self, Cursor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Events that wait for a slow client.
const WAITING: usize = 4;

/// Runs code and tells of it. What is refused before the code starts is an ordinary failure.
pub(super) async fn run(gateway: &Gateway, team: &TeamId, job: Job) -> Result<Response, ApiError> {
    let (events, receiver) = mpsc::channel(WAITING);
    let (started, begun) = oneshot::channel();
    let (gateway, team) = (gateway.clone(), team.clone());
    let over = tokio::spawn(async move {
        let ids = Ids::default();
        let teller = Teller {
            events: events.clone(),
            ids: ids.clone(),
            started: Some(started),
            rest: Default::default(),
        };
        let closed = {
            let events = events.clone();
            async move { events.closed().await }
        };
        let stdin = job.stdin.map(Cursor::new);
        let running = gateway
            .control
            .run(&team, job.request, stdin, teller, closed);
        let ran = alive(running, &events).await;
        match ran {
            Ok(mut ran) => {
                ran.listener.end().await;
                let json = answer::json(&ran, None);
                let _ = events.send(ids.event("exit", &json)).await;
                Ok(())
            }
            Err(error) => {
                let error = ApiError::from(error);
                // Who has heard of the start hears of it in the stream; else it is the answer.
                let _ = events.send(ids.failure(&error)).await;
                Err(error)
            }
        }
    });
    match begun.await {
        Ok(()) => Ok(respond(Events(receiver))),
        Err(_) => match over.await {
            Ok(Err(error)) => Err(error),
            _ => Ok(respond(Events(receiver))),
        },
    }
}

/// Tells now and then that the stream is not dead, while something goes on.
async fn alive<T>(work: impl Future<Output = T>, events: &mpsc::Sender<Bytes>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(KEEPALIVE, &mut work).await {
            Ok(done) => return done,
            // A reader that does not read needs none.
            Err(_) => drop(events.try_send(STILL_HERE)),
        }
    }
}

/// The numbers of events.
#[derive(Clone, Default)]
struct Ids(Arc<AtomicU64>);

impl Ids {
    fn event(&self, name: &str, data: &[u8]) -> Bytes {
        let id = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let head = format!("event: {name}\nid: {id}\ndata: ");
        let mut event = BytesMut::with_capacity(head.len() + data.len() + 2);
        event.put_slice(head.as_bytes());
        event.put_slice(data);
        event.put_slice(b"\n\n");
        event.freeze()
    }

    fn tell(&self, name: &str, data: &impl Serialize) -> Bytes {
        // Strings and numbers always serialise, and without line breaks.
        self.event(name, &serde_json::to_vec(data).unwrap_or_default())
    }

    fn failure(&self, error: &ApiError) -> Bytes {
        let told = serde_json::json!({ "code": error.status.as_u16(), "message": error.message });
        self.tell("error", &told)
    }
}

/// A piece of output on the wire.
#[derive(Serialize)]
pub(super) struct Piece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> Piece<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let text = std::str::from_utf8(bytes).ok();
        Self {
            text,
            base64: text.is_none().then(|| STANDARD.encode(bytes)),
        }
    }
}

/// What is told of a program's output.
pub(super) const fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Stdout => "stdout",
        Channel::Stderr => "stderr",
    }
}

/// Bytes of a letter whose rest has not come yet: a letter is not cut between two pieces.
#[derive(Debug, Default)]
pub(super) struct Rest([Bytes; 2]);

impl Rest {
    /// What may be told now.
    pub(super) fn join(&mut self, channel: Channel, bytes: Bytes) -> Bytes {
        let [out, err] = &mut self.0;
        let rest = match channel {
            Channel::Stdout => out,
            Channel::Stderr => err,
        };
        let mut whole = match rest.is_empty() {
            true => bytes,
            false => [rest.as_ref(), &bytes].concat().into(),
        };
        *rest = whole.split_off(whole.len() - unfinished(&whole));
        whole
    }

    /// What will never be finished.
    pub(super) fn take(&mut self) -> [(Channel, Bytes); 2] {
        let [out, err] = std::mem::take(&mut self.0);
        [(Channel::Stdout, out), (Channel::Stderr, err)]
    }
}

/// How many bytes at the end are the beginning of a letter.
fn unfinished(bytes: &[u8]) -> usize {
    for length in 1..=bytes.len().min(3) {
        let Some(byte) = bytes.len().checked_sub(length).and_then(|at| bytes.get(at)) else {
            return 0;
        };
        let needed = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            // The rest of a letter: its beginning is before.
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if needed > length { length } else { 0 };
    }
    0
}

/// Tells of a run.
struct Teller {
    events: mpsc::Sender<Bytes>,
    ids: Ids,
    started: Option<oneshot::Sender<()>>,
    rest: Rest,
}

impl Teller {
    async fn send(&self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let event = self.ids.tell(name(channel), &Piece::of(bytes));
        let sent = self.events.send(event).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Tells what waits for bytes that will not come.
    async fn end(&mut self) {
        for (channel, bytes) in self.rest.take() {
            // Whoever read may be gone.
            let _ = self.send(channel, &bytes).await;
        }
    }
}

impl Sink for Teller {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        let whole = self.rest.join(channel, bytes);
        self.send(channel, &whole).await
    }
}

impl Listener for Teller {
    async fn started(&mut self, started: Started) {
        let told = serde_json::json!({
            "sandbox": started.sandbox,
            "template": started.template,
            "language": started.language,
        });
        // The first of its stream: there is room.
        let _ = self.events.send(self.ids.tell("started", &told)).await;
        if let Some(started) = self.started.take() {
            let _ = started.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_not_cut_between_two_pieces() {
        let mut rest = Rest::default();
        let text = "a€🦀ä";
        let mut told = Vec::new();
        for byte in text.bytes() {
            let piece = rest.join(Channel::Stdout, Bytes::copy_from_slice(&[byte]));
            assert!(std::str::from_utf8(&piece).is_ok());
            told.extend_from_slice(&piece);
        }
        assert_eq!(told, text.as_bytes());
        let [(_, out), (_, err)] = rest.take();
        assert!(out.is_empty() && err.is_empty());
    }

    #[test]
    fn what_is_no_letter_is_told_as_it_is() {
        let mut rest = Rest::default();
        let odd = Bytes::from_static(b"\xff\x80\x80\x80\x80");
        assert_eq!(rest.join(Channel::Stderr, odd.clone()), odd);
        // The beginning of a letter that never comes.
        assert_eq!(
            rest.join(Channel::Stderr, Bytes::from_static(b"x\xe2\x82")),
            "x"
        );
        let [_, (_, err)] = rest.take();
        assert_eq!(&err[..], b"\xe2\x82");
    }
}
