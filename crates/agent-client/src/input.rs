//! Input of commands.

use super::call::{begin_rpc, finish, not_a_stream, to_json};
use super::connection::{Body, Connection};
use super::{AgentClient, AgentError};
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use soulbox_wire::connect::{EndStream, FrameReader, STREAM_TYPE, encode_frame};
use soulbox_wire::envd::process::{
    ProcessInput, ProcessSelector, SelectRequest, SendInputRequest, StreamInputData,
    StreamInputRequest,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Bytes of input per message. Base64 makes 4/3 of them, well within what an agent takes.
const PIECE: usize = 1024 * 1024;

/// Pieces of a stream that may wait for the agent.
const WAITING: usize = 2;

impl AgentClient {
    /// Writes to a command's standard input, or to its terminal when `terminal`. Waits until the
    /// command (or the pipe in front of it) has taken it, at most [`super::AgentLimits::header`]
    /// per MiB; use [`AgentClient::stream_input`] for a command that may be slow to read.
    ///
    /// # Errors
    /// The agent cannot be reached, there is no such command, or its input is closed.
    pub async fn send_input(
        &self,
        pid: u32,
        bytes: &[u8],
        terminal: bool,
    ) -> Result<(), AgentError> {
        let mut pieces: Vec<&[u8]> = bytes.chunks(PIECE).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        for piece in pieces {
            let process = Some(ProcessSelector::pid(pid));
            let message = SendInputRequest {
                process,
                input: Some(input(piece, terminal)),
            };
            self.process_call("SendInput", &message).await?;
        }
        Ok(())
    }

    /// Opens a stream of input for a command's standard input, or its terminal.
    ///
    /// # Errors
    /// The request cannot be made. Whether the agent takes it shows with
    /// [`InputStream::send`] and [`InputStream::finish`].
    pub async fn stream_input(&self, pid: u32, terminal: bool) -> Result<InputStream, AgentError> {
        self.stream_input_to(ProcessSelector::pid(pid), terminal)
            .await
    }

    /// As [`AgentClient::stream_input`], for the command that `selector` names.
    ///
    /// # Errors
    /// As there.
    pub async fn stream_input_to(
        &self,
        selector: ProcessSelector,
        terminal: bool,
    ) -> Result<InputStream, AgentError> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let select = SelectRequest {
            process: Some(selector),
        };
        let start = StreamInputRequest {
            start: Some(select),
            ..StreamInputRequest::default()
        };
        let body = Body::stream(Pieces {
            first: Some(frame(&start)?),
            receiver,
        });
        let request = begin_rpc("process.Process/StreamInput", STREAM_TYPE, None, None);
        let request = finish(request, body)?;
        let client = self.clone();
        let answer = tokio::spawn(async move { client.stream_answer(request).await });
        Ok(InputStream {
            sender: Some(sender),
            answer,
            terminal,
        })
    }

    /// Sends the stream's request and waits, for as long as it goes on, for its answer.
    async fn stream_answer(&self, request: http::Request<Body>) -> Result<(), AgentError> {
        let patient = super::AgentLimits {
            header: std::time::Duration::from_secs(u64::from(u32::MAX)),
            ..self.limits.clone()
        };
        let (connection, response) = self.pool.send(&patient, request).await?;
        self.read_answer(connection, response).await
    }

    async fn read_answer(
        &self,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Result<(), AgentError> {
        if response.status() != StatusCode::OK {
            return Err(not_a_stream(response.status()));
        }
        let body = self
            .read_whole(connection, response, self.limits.answer_bytes)
            .await?;
        let mut reader = FrameReader::new(self.limits.answer_bytes);
        reader.push(&body);
        while let Some(frame) = reader
            .next_frame()
            .map_err(|error| AgentError::Protocol(error.to_string()))?
        {
            if frame.end {
                let end: EndStream = serde_json::from_slice(&frame.payload)
                    .map_err(|error| AgentError::Protocol(error.to_string()))?;
                return end.error.map_or(Ok(()), |error| Err(error.into()));
            }
        }
        Err(AgentError::Broken("stream has no end".to_owned()))
    }
}

fn input(bytes: &[u8], terminal: bool) -> ProcessInput {
    let bytes = Some(bytes.to_vec());
    if terminal {
        ProcessInput {
            pty: bytes,
            stdin: None,
        }
    } else {
        ProcessInput {
            stdin: bytes,
            pty: None,
        }
    }
}

fn frame(message: &StreamInputRequest) -> Result<Bytes, AgentError> {
    Ok(encode_frame(0, &to_json(message)?).into())
}

/// A stream of input. Dropping it ends the input that it sent, not the command's.
#[derive(Debug)]
pub struct InputStream {
    sender: Option<mpsc::Sender<Bytes>>,
    answer: JoinHandle<Result<(), AgentError>>,
    terminal: bool,
}

impl InputStream {
    /// Sends bytes; waits while the command does not read.
    ///
    /// # Errors
    /// The agent ended the stream: why, if it said so.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        for piece in bytes.chunks(PIECE) {
            let data = StreamInputData {
                input: Some(input(piece, self.terminal)),
            };
            let message = StreamInputRequest {
                data: Some(data),
                ..StreamInputRequest::default()
            };
            let frame = frame(&message)?;
            let sent = match &self.sender {
                Some(sender) => sender.send(frame).await.is_ok(),
                None => false,
            };
            if !sent {
                return Err(self.ended_early().await);
            }
        }
        Ok(())
    }

    async fn ended_early(&mut self) -> AgentError {
        if self.sender.take().is_none() {
            return AgentError::Broken("stream of input is over".to_owned());
        }
        match (&mut self.answer).await {
            Ok(Err(error)) => error,
            _ => AgentError::Broken("agent ended the stream of input".to_owned()),
        }
    }

    /// Ends the stream and waits until the agent has written all of it.
    ///
    /// # Errors
    /// Something of it was not written.
    pub async fn finish(mut self) -> Result<(), AgentError> {
        if self.sender.take().is_none() {
            return Err(AgentError::Broken("stream of input is over".to_owned()));
        }
        self.answer
            .await
            .map_err(|error| AgentError::Broken(format!("stream of input ended: {error}")))?
    }
}

/// The frames of a stream of input, as they come.
struct Pieces {
    first: Option<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.receiver
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
