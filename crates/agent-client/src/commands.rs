//! Recorded commands: one connection to an agent for all of them.

use super::place::Stream;
use super::{AgentClient, AgentError};
use rustix::fd::{BorrowedFd, OwnedFd};
use soulbox_syscall::passing;
use soulbox_wire::commands::{Event, MAX_EVENT, MAX_REQUEST, PREFACE, Request};
use soulbox_wire::connect::{FrameReader, encode_frame};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Bytes that are read at once.
const PIECE: usize = 4 * 1024;
/// Descriptors that wait for their event. An agent of ours sends an event with each.
const DESCRIPTORS: usize = 8;

/// The way to an agent: requests about recorded commands, one after another.
#[derive(Debug)]
pub struct CommandSender {
    stream: Arc<UnixStream>,
    turn: Mutex<()>,
    /// Whether a request is being sent; still set when the next one comes, it was given up.
    torn: AtomicBool,
}

/// The way back: what the agent tells of them.
#[derive(Debug)]
pub struct CommandEvents {
    stream: Arc<UnixStream>,
    reader: FrameReader,
    descriptors: VecDeque<OwnedFd>,
    piece: Vec<u8>,
}

impl AgentClient {
    /// Opens the connection for recorded commands. An older one is over by that.
    ///
    /// # Errors
    /// The agent cannot be reached, or only through a server.
    pub async fn commands(&self) -> Result<(CommandSender, CommandEvents), AgentError> {
        let Stream::Unix(stream) = self.pool.dial(&self.limits).await? else {
            // Files cannot be handed over any other way.
            let message = "recorded commands need the agent's own socket";
            return Err(AgentError::Protocol(message.to_owned()));
        };
        let stream = Arc::new(stream);
        let sender = CommandSender {
            stream: Arc::clone(&stream),
            turn: Mutex::new(()),
            torn: AtomicBool::new(false),
        };
        sender.write(PREFACE, None).await.map_err(broken)?;
        let events = CommandEvents {
            stream,
            reader: FrameReader::new(MAX_EVENT),
            descriptors: VecDeque::new(),
            piece: vec![0; PIECE],
        };
        Ok((sender, events))
    }
}

impl CommandSender {
    /// Sends a request, with the descriptor that belongs to it. When this fails, or is given up,
    /// the request may have arrived or not, and the connection is of no use any more.
    ///
    /// # Errors
    /// [`AgentError::TooLarge`] before anything is sent; the connection broke.
    pub async fn send(
        &self,
        request: &Request,
        beside: Option<BorrowedFd<'_>>,
    ) -> Result<(), AgentError> {
        let json = super::call::to_json(request)?;
        if json.len() > MAX_REQUEST {
            return Err(AgentError::TooLarge {
                what: "a command",
                limit: MAX_REQUEST as u64,
            });
        }
        let frame = encode_frame(0, &json);
        let _turn = self.turn.lock().await;
        if self.torn.swap(true, Ordering::Relaxed) {
            // Nothing after half a request can be read. Those who listen hear of it by this.
            let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
            return Err(AgentError::Broken("a request was given up".to_owned()));
        }
        self.write(&frame, beside).await.map_err(broken)?;
        self.torn.store(false, Ordering::Relaxed);
        Ok(())
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

impl CommandEvents {
    /// The next event, with the descriptor that belongs to it, if it came. Waits for as long as
    /// the agent is silent; nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// The connection broke, or the agent sent nonsense: then the connection is over.
    pub async fn next(&mut self) -> Result<(Event, Option<OwnedFd>), AgentError> {
        loop {
            let frame = self.reader.next_frame();
            let frame = frame.map_err(|error| AgentError::Protocol(error.to_string()))?;
            if let Some(frame) = frame {
                let event: Event = serde_json::from_slice(&frame.payload)
                    .map_err(|error| AgentError::Protocol(error.to_string()))?;
                let beside = match event.has_descriptor() {
                    true => self.descriptors.pop_front(),
                    false => None,
                };
                return Ok((event, beside));
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), AgentError> {
        let Self {
            stream,
            reader,
            descriptors,
            piece,
        } = self;
        let receive = || Ok(passing::receive(&*stream, piece, descriptors)?);
        let received = stream.async_io(Interest::READABLE, receive).await;
        let length = received.map_err(broken)?;
        // What no event said to bring is closed.
        descriptors.truncate(DESCRIPTORS);
        if length == 0 {
            return Err(AgentError::Broken(
                "the agent ended the connection for commands".to_owned(),
            ));
        }
        reader.push(piece.get(..length).unwrap_or_default());
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it maps errors")]
fn broken(error: io::Error) -> AgentError {
    AgentError::Broken(error.to_string())
}
