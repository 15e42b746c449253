//! The connection on which an agent asks for copies of its template's zygote.

use super::place::Stream;
use super::{AgentClient, AgentError};
use rustix::fd::{BorrowedFd, OwnedFd};
use soulbox_syscall::passing;
use soulbox_wire::connect::{FrameReader, RpcError, encode_frame};
use soulbox_wire::supply::{Event, MAX_MESSAGE, PREFACE, Request};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes that are read at once.
const PIECE: usize = 1024;

/// What an agent wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The number of its call.
    pub call: u64,
    /// The process's user inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
    /// Its other groups inside.
    pub groups: Vec<u32>,
    /// Its directory inside.
    pub directory: String,
}

/// The connection.
#[derive(Debug)]
pub struct Supplies {
    stream: UnixStream,
    reader: FrameReader,
    piece: Vec<u8>,
}

impl AgentClient {
    /// Opens the connection for supplies and has the agent ask for `ahead` processes at once. An
    /// older one is over by that.
    ///
    /// # Errors
    /// The agent cannot be reached, or only through a server.
    pub async fn supplies(&self, ahead: u32) -> Result<Supplies, AgentError> {
        match self.ask_supplies(&Request::Open { ahead }).await? {
            (supplies, Event::Opened) => Ok(supplies),
            _ => Err(AgentError::Protocol("it asks too early".to_owned())),
        }
    }

    /// Has the agent start a process of Node.js that waits for a script, and waits until that one does.
    /// `variables`: what every process of the sandbox is going to be told, as far as it is known.
    ///
    /// # Errors
    /// The agent cannot be reached, or only through a server, or it cannot start one.
    pub async fn ready(&self, variables: BTreeMap<String, String>) -> Result<(), AgentError> {
        match self.ask_supplies(&Request::Ready { variables }).await? {
            (_, Event::Waits) => Ok(()),
            (_, Event::Lacks { error }) => Err(error.into()),
            _ => Err(AgentError::Protocol(
                "it was asked for a process".to_owned(),
            )),
        }
    }

    /// Opens the connection with a first request; gives the answer.
    async fn ask_supplies(&self, request: &Request) -> Result<(Supplies, Event), AgentError> {
        let Stream::Unix(stream) = self.pool.dial(&self.limits).await? else {
            // Sockets cannot be handed over any other way.
            let message = "supplies need the agent's own socket";
            return Err(AgentError::Protocol(message.to_owned()));
        };
        let supplies = Supplies {
            stream,
            reader: FrameReader::new(MAX_MESSAGE),
            piece: vec![0; PIECE],
        };
        let open = frame(request)?;
        let first = [PREFACE, &open].concat();
        let mut supplies = supplies;
        supplies.write(&first, None).await.map_err(broken)?;
        let limit = self.limits.header;
        let opened = tokio::time::timeout(limit, supplies.next_event()).await;
        let what = "open the connection for supplies";
        let event = opened.map_err(|_| AgentError::Timeout { what, limit })??;
        Ok((supplies, event))
    }
}

impl Supplies {
    /// What the agent wants next. Waits for as long as it wants nothing.
    ///
    /// # Errors
    /// The connection broke, or the agent sent nonsense: then the connection is over.
    pub async fn next(&mut self) -> Result<Want, AgentError> {
        match self.next_event().await? {
            Event::Want {
                call,
                uid,
                gid,
                groups,
                directory,
            } => Ok(Want {
                call,
                uid,
                gid,
                groups,
                directory,
            }),
            _ => Err(AgentError::Protocol(
                "it answers what was not asked".to_owned(),
            )),
        }
    }

    async fn next_event(&mut self) -> Result<Event, AgentError> {
        loop {
            let next = self.reader.next_frame();
            let next = next.map_err(|error| AgentError::Protocol(error.to_string()))?;
            if let Some(frame) = next {
                let event = serde_json::from_slice(&frame.payload);
                return event.map_err(|error| AgentError::Protocol(error.to_string()));
            }
            let Self { stream, piece, .. } = self;
            // An agent sends no descriptors; what comes all the same is closed at once.
            let mut closed = VecDeque::<OwnedFd>::new();
            let receive = || Ok(passing::receive(&*stream, piece, &mut closed)?);
            let received = stream.async_io(Interest::READABLE, receive).await;
            let length = received.map_err(broken)?;
            if length == 0 {
                let message = "the agent ended the connection for supplies";
                return Err(AgentError::Broken(message.to_owned()));
            }
            self.reader
                .push(self.piece.get(..length).unwrap_or_default());
        }
    }

    /// Answers a want with the id of a process inside and the other end of its control socket, or with why there is none.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn answer(
        &self,
        call: u64,
        answer: Result<(u32, OwnedFd), RpcError>,
    ) -> Result<(), AgentError> {
        let (request, control) = match answer {
            Ok((pid, control)) => (Request::Supplied { call, pid }, Some(control)),
            Err(error) => (Request::Unable { call, error }, None),
        };
        let bytes = frame(&request)?;
        let beside = control.as_ref().map(rustix::fd::AsFd::as_fd);
        self.write(&bytes, beside).await.map_err(broken)
    }

    async fn write(&self, bytes: &[u8], mut beside: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let send = || Ok(passing::send(&self.stream, left, beside)?);
            let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
            // It went along with the first bytes.
            beside = None;
            left = left.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

fn frame(request: &Request) -> Result<Vec<u8>, AgentError> {
    Ok(encode_frame(0, &super::call::to_json(request)?))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "as a mapping of errors takes it"
)]
fn broken(error: io::Error) -> AgentError {
    AgentError::Broken(error.to_string())
}
