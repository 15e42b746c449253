//! What passes by about commands, for the sandbox's log: which program a client starts through the agent, as which
//! process, and how it ends. Nothing is held back or changed.
//!
//! The start is the client's word and the agent's, the end is the agent's: nobody else knows. A client that goes away
//! before the end takes the end with it, unless another one follows the same process.

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, SizeHint};
use soulbox_control::{CommandLog, LogEnd};
use soulbox_model::SandboxId;
use soulbox_runtime::agent_client::ProcessEnd;
use soulbox_wire::connect::{Code, EndStream, FLAG_END, FRAME_HEADER};
use soulbox_wire::envd::process::{EventResponse, StartRequest};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// Starts a command and follows it.
const START: &str = "/process.Process/Start";
/// Follows one that runs.
const CONNECT: &str = "/process.Process/Connect";

/// The longest request that is looked into for its program, in bytes. What is longer is logged without a name.
const LONGEST_START: usize = 256 * 1024;
/// The longest message that may tell a start or an end, in bytes; longer ones hold output.
const LONGEST_EVENT: usize = 4096;

/// The name of a program that is not known.
const UNKNOWN: &str = "a command";

/// How a command ends whose time limit passed.
const KILLED: LogEnd = LogEnd {
    exit_code: None,
    signal: Some(9),
};

/// What the agent tells of a process.
enum Told {
    Started(u32),
    Ended(LogEnd),
}

/// What a request is about, as far as the log cares.
#[derive(Clone)]
pub(super) struct Heard {
    log: CommandLog,
    sandbox: SandboxId,
    /// Whether it starts the process whose events follow.
    starts: bool,
    program: Arc<OnceLock<String>>,
}

impl Heard {
    /// Nothing if the request is about no command.
    pub(super) fn of<B>(
        log: &CommandLog,
        sandbox: SandboxId,
        request: &Request<B>,
    ) -> Option<Self> {
        let starts = match request.uri().path() {
            START => true,
            CONNECT => false,
            _ => return None,
        };
        Some(Self {
            log: log.clone(),
            sandbox,
            starts,
            program: Arc::default(),
        })
    }

    /// What a message of the agent tells.
    fn read(&self, message: Message<'_>) -> Option<Told> {
        match message {
            // Most are output; of these nothing is read.
            Message::Whole(json) if json.starts_with(br#"{"event":{"data""#) => None,
            Message::Whole(json) => {
                let event = serde_json::from_slice::<EventResponse>(json).ok()?.event;
                let started = event.start.map(|start| Told::Started(start.pid));
                started.or_else(|| Some(Told::Ended(end_of(&event.end?.into()))))
            }
            // Whoever started it set its time limit, and is told of that in place of its end.
            Message::Last(json) if self.starts => {
                let error = serde_json::from_slice::<EndStream>(json).ok()?.error?;
                (error.code == Code::DeadlineExceeded).then_some(Told::Ended(KILLED))
            }
            Message::Last(_) | Message::Other => None,
        }
    }

    fn started(&self, pid: u32) {
        if self.starts {
            let program = self.program.get().map_or(UNKNOWN, String::as_str);
            self.log.started(&self.sandbox, pid, program);
        }
    }

    fn ended(&self, pid: u32, end: LogEnd) {
        self.log.ended(&self.sandbox, pid, end);
    }
}

/// The body of a request, looked at for the program that it names.
pub(super) fn asked<B>(body: B, heard: Option<&Heard>) -> Passing<B, impl FnMut(&[u8]) + use<B>> {
    let heard = heard.filter(|heard| heard.starts).cloned();
    let mut scan = heard.map(|heard| (heard, Scan::new(LONGEST_START)));
    let look = move |bytes: &[u8]| {
        let Some((heard, reader)) = &mut scan else {
            return;
        };
        let mut over = false;
        reader.push(bytes, |message| {
            over = true;
            if let Message::Whole(json) = message
                && let Ok(asked) = serde_json::from_slice::<StartRequest>(json)
                && let Some(process) = asked.process
            {
                let _ = heard.program.set(process.cmd);
            }
        });
        if over {
            scan = None;
        }
    };
    Passing { body, look }
}

/// The body of an answer, looked at for a process's start and end.
pub(super) fn answered<B>(body: B, heard: Heard) -> Passing<B, impl FnMut(&[u8]) + use<B>> {
    let mut heard = Some(heard);
    let mut scan = Scan::new(LONGEST_EVENT);
    let mut pid = None;
    let look = move |bytes: &[u8]| {
        let Some(told) = &heard else { return };
        let mut over = false;
        scan.push(bytes, |message| {
            let end = match (told.read(message), pid) {
                (Some(Told::Started(started)), None) => {
                    pid = Some(started);
                    return told.started(started);
                }
                (Some(Told::Ended(end)), Some(_)) if !over => end,
                _ => return,
            };
            over = true;
            if let Some(pid) = pid {
                told.ended(pid, end);
            }
        });
        if over {
            heard = None;
        }
    };
    Passing { body, look }
}

/// How a process ended, in the words of the log.
pub(crate) fn end_of(end: &ProcessEnd) -> LogEnd {
    LogEnd {
        exit_code: end.signal.is_none().then_some(end.exit_code),
        signal: end.signal,
    }
}

/// A body whose bytes are looked at as they pass.
pub(super) struct Passing<B, L> {
    body: B,
    look: L,
}

impl<B: Body<Data = Bytes> + Unpin, L: FnMut(&[u8]) + Unpin> Body for Passing<B, L> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            (self.look)(bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A message of a stream.
#[derive(Debug, Clone, Copy)]
enum Message<'m> {
    Whole(&'m [u8]),
    /// The last one, which says how the stream ended.
    Last(&'m [u8]),
    /// One that is too long, or compressed.
    Other,
}

/// Finds the short messages in a stream of frames, however it is cut, and holds one of them at the most.
struct Scan {
    longest: usize,
    header: Vec<u8>,
    message: Vec<u8>,
    /// The flags of the message, and its bytes that are to come; none while the header is read.
    left: Option<(u8, usize)>,
    /// Whether the message is kept.
    keeps: bool,
}

impl Scan {
    const fn new(longest: usize) -> Self {
        Self {
            longest,
            header: Vec::new(),
            message: Vec::new(),
            left: None,
            keeps: false,
        }
    }

    /// Gives each message that is over.
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Message<'_>)) {
        while !bytes.is_empty() {
            let Some((flags, left)) = self.left else {
                let (taken, rest) = cut(bytes, FRAME_HEADER - self.header.len());
                self.header.extend_from_slice(taken);
                bytes = rest;
                if let [flags, a, b, c, d] = *self.header.as_slice() {
                    let length = u32::from_be_bytes([a, b, c, d]);
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    self.keeps = flags & !FLAG_END == 0 && length <= self.longest;
                    self.left = Some((flags, length));
                    self.header.clear();
                    self.finish(&mut each);
                }
                continue;
            };
            let (taken, rest) = cut(bytes, left);
            if self.keeps {
                self.message.extend_from_slice(taken);
            }
            self.left = Some((flags, left - taken.len()));
            bytes = rest;
            self.finish(&mut each);
        }
    }

    /// Gives the message if all of it is there.
    fn finish(&mut self, each: &mut impl FnMut(Message<'_>)) {
        let Some((flags, 0)) = self.left else { return };
        each(match (self.keeps, flags) {
            (false, _) => Message::Other,
            (true, FLAG_END) => Message::Last(&self.message),
            (true, _) => Message::Whole(&self.message),
        });
        self.left = None;
        self.message = Vec::new();
    }
}

/// The first `most` bytes, and the rest.
fn cut(bytes: &[u8], most: usize) -> (&[u8], &[u8]) {
    bytes.split_at(most.min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::connect::{FLAG_COMPRESSED, encode_frame, end_frame};

    fn scanned(bytes: &[u8], step: usize) -> Vec<String> {
        let mut scan = Scan::new(20);
        let mut all = Vec::new();
        for piece in bytes.chunks(step) {
            scan.push(piece, |message| {
                all.push(match message {
                    Message::Whole(text) => String::from_utf8_lossy(text).into_owned(),
                    Message::Last(text) => format!("last {}", String::from_utf8_lossy(text)),
                    Message::Other => "other".to_owned(),
                });
            });
            assert!(scan.message.len() <= 20 && scan.header.len() < FRAME_HEADER);
        }
        all
    }

    #[test]
    fn short_messages_are_found_however_the_stream_is_cut() {
        let bytes = [
            encode_frame(0, b"{\"one\":1}"),
            encode_frame(0, &[b'x'; 500]),
            encode_frame(0, b""),
            encode_frame(FLAG_COMPRESSED, b"zip"),
            encode_frame(0, b"{\"two\":2}"),
            end_frame(None),
            encode_frame(0, b"cut off")[..7].to_vec(),
        ]
        .concat();
        let expected = [
            "{\"one\":1}",
            "other",
            "",
            "other",
            "{\"two\":2}",
            "last {}",
        ];
        for step in 1..bytes.len() {
            assert_eq!(scanned(&bytes, step), expected, "{step}");
        }
    }
}
