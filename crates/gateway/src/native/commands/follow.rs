//! `GET …/commands/{command}/output`: both outputs as they come, as server-sent events
//! ([the standard](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! | Event | Data |
//! |---|---|
//! | `stdout`, `stderr` | `offset`, `base64`, and `text` if the piece is UTF-8 |
//! | `end` | the command's record |
//! | `error` | why the output cannot be read; the stream ends |
//!
//! An event's id holds both offsets behind it: a client that comes again with it in
//! `Last-Event-ID`, or with offsets in its query, misses nothing and gets nothing twice. Without
//! `follow` there is what there is now, and then the end of the answer.

use super::{ids_of, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::query::Query;
use crate::native::stream::{Events, KEEPALIVE, STILL_HERE, respond};
use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use soulbox_control::{ControlError, Follower, OutputPiece};
use std::fmt::Write as _;
use tokio::sync::mpsc;

/// Bytes of one event's output.
const PIECE: usize = 32 * 1024;
/// Events that wait for a slow client. Nothing is lost beyond: the output is in its file.
const WAITING: usize = 2;

#[derive(Debug, Deserialize)]
pub(super) struct Options {
    /// Go on until the command is over. Given without a value, or with `true`.
    follow: Option<String>,
    #[serde(default)]
    stdout: u64,
    #[serde(default)]
    stderr: u64,
}

pub(super) async fn output(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let follow = match options.follow.as_deref() {
        Some("" | "true" | "1") => true,
        None | Some("false" | "0") => false,
        Some(_) => return Err(ApiError::bad("follow: it is true or false")),
    };
    let offsets =
        match headers.get("last-event-id") {
            Some(id) => id.to_str().ok().and_then(offsets_of).ok_or_else(|| {
                ApiError::bad("Last-Event-ID: it is none of an event of this stream")
            })?,
            None => [options.stdout, options.stderr],
        };
    let follower = gateway.control.follow_command(&team, &sandbox, &command);
    let follower = follower.await?;
    let (events, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        match follow {
            true => tell(follower, offsets, &events).await,
            false => tell_now(&follower, offsets, &events).await,
        }
    });
    Ok(respond(Events(receiver)))
}

/// The offsets in an event's id.
fn offsets_of(id: &str) -> Option<[u64; 2]> {
    let (out, err) = id.split_once('.')?;
    Some([out.parse().ok()?, err.parse().ok()?])
}

/// Tells events until the command is over, or nobody listens.
async fn tell(mut follower: Follower, mut offsets: [u64; 2], events: &mpsc::Sender<Bytes>) {
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(KEEPALIVE, follower.next(offsets, PIECE)) => next,
            () = events.closed() => return,
        };
        let event = match next {
            Ok(Ok(Some(pieces))) => told(&mut offsets, &pieces),
            Ok(Ok(None)) => return tell_end(&follower, offsets, events).await,
            Ok(Err(error)) => return tell_error(error, offsets, events).await,
            Err(_) => STILL_HERE,
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Tells what there is now, and the end if it is over.
async fn tell_now(follower: &Follower, mut offsets: [u64; 2], events: &mpsc::Sender<Bytes>) {
    loop {
        let pieces = match follower.look(offsets, PIECE).await {
            Ok(pieces) => pieces,
            Err(error) => return tell_error(error, offsets, events).await,
        };
        if pieces.iter().all(|piece| piece.bytes.is_empty()) {
            if pieces.iter().all(|piece| piece.end) {
                tell_end(follower, offsets, events).await;
            }
            return;
        }
        if events.send(told(&mut offsets, &pieces)).await.is_err() {
            return;
        }
    }
}

async fn tell_end(follower: &Follower, offsets: [u64; 2], events: &mpsc::Sender<Bytes>) {
    let record = follower.record();
    let end = event("end", offsets, &view::Command::from(&record));
    // Nobody may be there to hear it.
    let _ = events.send(end).await;
}

async fn tell_error(error: ControlError, offsets: [u64; 2], events: &mpsc::Sender<Bytes>) {
    let message = ApiError::from(error).message;
    let _ = events.send(event("error", offsets, &message)).await;
}

/// A piece of output on the wire.
#[derive(Serialize)]
struct Piece<'a> {
    offset: u64,
    base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Pieces as events; moves the offsets behind them.
fn told(offsets: &mut [u64; 2], pieces: &[OutputPiece; 2]) -> Bytes {
    let mut all = Vec::new();
    for (index, (name, piece)) in ["stdout", "stderr"].into_iter().zip(pieces).enumerate() {
        if piece.bytes.is_empty() {
            continue;
        }
        if let Some(offset) = offsets.get_mut(index) {
            *offset = piece.offset + piece.bytes.len() as u64;
        }
        let data = Piece {
            offset: piece.offset,
            base64: STANDARD.encode(&piece.bytes),
            text: std::str::from_utf8(&piece.bytes).ok(),
        };
        all.extend_from_slice(&event(name, *offsets, &data));
    }
    all.into()
}

fn event(name: &str, [out, err]: [u64; 2], data: &impl Serialize) -> Bytes {
    // Strings and numbers always serialise, and without line breaks.
    let data = serde_json::to_string(data).unwrap_or_default();
    let mut text = String::with_capacity(data.len() + 64);
    // Writing to a string does not fail.
    let _ = write!(text, "event: {name}\nid: {out}.{err}\ndata: {data}\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, bytes: &[u8]) -> OutputPiece {
        OutputPiece {
            bytes: bytes.to_vec(),
            offset,
            end: false,
            size: soulbox_model::OutputSize::default(),
        }
    }

    #[test]
    fn ids_hold_the_offsets_behind_their_event() {
        let mut offsets = [5, 0];
        let events = told(&mut offsets, &[piece(5, b"ab\n"), piece(0, b"\xff")]);
        let expected = "event: stdout\nid: 8.0\n\
            data: {\"offset\":5,\"base64\":\"YWIK\",\"text\":\"ab\\n\"}\n\n\
            event: stderr\nid: 8.1\ndata: {\"offset\":0,\"base64\":\"/w==\"}\n\n";
        assert_eq!(events, expected);
        assert_eq!(offsets_of("8.1"), Some(offsets));
        for wrong in ["", "8", "8.", "-1.0", "a.b", "1.2.3"] {
            assert_eq!(offsets_of(wrong), None, "{wrong}");
        }
    }
}
