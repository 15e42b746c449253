//! Commands: starting them, following their output, signals.

use super::call::{begin_rpc, finish, nonsense, not_a_stream, to_json};
use super::connection::Connection;
use super::{AgentClient, AgentError};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Serialize;
use soulbox_wire::connect::{
    EndStream, FORKED_HEADER, Frame, FrameError, FrameReader, STREAM_TYPE, encode_frame,
};
use soulbox_wire::envd::process::{
    self as wire, Empty, EndEvent, EventResponse, ListResponse, ProcessConfig, ProcessSelector,
    Pty, PtySize, SelectRequest, SendSignalRequest, Signal, StartFile, UpdateRequest,
};
use soulbox_wire::envd::signal;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// A command to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartRequest {
    /// The program: a path, or a name that is looked up in the sandbox's `PATH`.
    pub cmd: String,
    /// Its arguments, without the program's own name.
    pub args: Vec<String>,
    /// Variables on top of the sandbox's and the user's.
    pub envs: BTreeMap<String, String>,
    /// Its working directory; `None` means the default one.
    pub cwd: Option<String>,
    /// Who runs it; `None` means the default user.
    pub user: Option<String>,
    /// Whether it gets input; otherwise it reads `/dev/null`.
    pub stdin: bool,
    /// A terminal of this size instead of pipes.
    pub pty: Option<PtySize>,
    /// After which it and its session are killed, and the stream ends with
    /// [`AgentError::is_deadline`]; `None` means never.
    pub timeout: Option<Duration>,
    /// A name by which it can be selected.
    pub tag: Option<String>,
    /// Whether an interpreter that is loaded already may run it, if it is a script.
    pub forked: bool,
    /// Files that are there before it starts: their path, what they hold, whether they are programs. A start that
    /// cannot write one is refused with `aborted`, and nothing has run.
    pub files: Vec<(String, Bytes, bool)>,
}

/// What happens to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It wrote to its standard output.
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// It wrote to its terminal.
    Terminal(Bytes),
    /// It ended, and its output is over.
    End(ProcessEnd),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnd {
    /// Its exit code; -1 when a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// In words: `exit status 3`, `signal: killed`.
    pub status: String,
}

impl From<EndEvent> for ProcessEnd {
    fn from(event: EndEvent) -> Self {
        let signal = if event.exited {
            None
        } else {
            signal::number(&event.status)
        };
        Self {
            exit_code: event.exit_code,
            signal,
            status: event.status,
        }
    }
}

/// The output of a command. Dropping it leaves the command running.
///
/// Once the command's end was told, its connection serves the next call.
pub struct ProcessStream {
    /// `None` when the stream is over.
    connection: Option<Connection>,
    body: Incoming,
    reader: FrameReader,
    pid: u32,
}

impl std::fmt::Debug for ProcessStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessStream")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl ProcessStream {
    /// The command's process id inside the sandbox.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The next event; `None` after the end of the stream. Waits for as long as the command is
    /// silent. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// The connection broke, the agent sent nonsense, or the command's time limit passed.
    pub async fn next(&mut self) -> Result<Option<ProcessEvent>, AgentError> {
        loop {
            let Some(event) = self.next_message().await? else {
                return Ok(None);
            };
            let data = match event {
                wire::ProcessEvent { end: Some(end), .. } => {
                    self.settle().await;
                    return Ok(Some(ProcessEvent::End(end.into())));
                }
                wire::ProcessEvent {
                    data: Some(data), ..
                } => data,
                // A keepalive, or something that a newer agent tells.
                _ => continue,
            };
            if let Some(bytes) = data.stdout {
                return Ok(Some(ProcessEvent::Stdout(bytes.into())));
            }
            if let Some(bytes) = data.stderr {
                return Ok(Some(ProcessEvent::Stderr(bytes.into())));
            }
            if let Some(bytes) = data.pty {
                return Ok(Some(ProcessEvent::Terminal(bytes.into())));
            }
        }
    }

    async fn next_message(&mut self) -> Result<Option<wire::ProcessEvent>, AgentError> {
        let Some(frame) = self.next_frame().await? else {
            return Ok(None);
        };
        let parsed = serde_json::from_slice::<EventResponse>(&frame.payload);
        Ok(Some(
            parsed.map_err(|error| nonsense(error.to_string()))?.event,
        ))
    }

    /// The next message's frame; `None` after the stream's end. After an error the stream is
    /// over.
    async fn next_frame(&mut self) -> Result<Option<Frame>, AgentError> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        match read_frame(connection, &mut self.body, &mut self.reader).await {
            Ok(frame) if !frame.end => Ok(Some(frame)),
            last => {
                self.connection = None;
                last.and_then(|frame| read_end(&frame)).map(|()| None)
            }
        }
    }

    /// Gives the connection back if the stream's end has come together with the command's, as it
    /// does from an agent of ours.
    async fn settle(&mut self) {
        let Ok(Some(Frame { end: true, payload })) = self.reader.next_frame() else {
            return;
        };
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let frame = Frame { end: true, payload };
        let mut rest = pin!(self.body.frame());
        let over = connection
            .drive(poll_fn(|context| {
                Poll::Ready(matches!(rest.as_mut().poll(context), Poll::Ready(None)))
            }))
            .await;
        if over && read_end(&frame).is_ok() {
            connection.give_back().await;
        }
    }
}

async fn read_frame(
    connection: &mut Connection,
    body: &mut Incoming,
    reader: &mut FrameReader,
) -> Result<Frame, AgentError> {
    loop {
        if let Some(frame) = reader.next_frame().map_err(|error| frame_error(&error))? {
            return Ok(frame);
        }
        let piece = connection.drive(body.frame()).await.transpose()?;
        let piece = piece.ok_or_else(|| AgentError::Broken("stream has no end".to_owned()))?;
        if let Ok(bytes) = piece.into_data() {
            reader.push(&bytes);
        }
    }
}

/// What the end of a stream tells.
fn read_end(frame: &Frame) -> Result<(), AgentError> {
    let end: EndStream = serde_json::from_slice(&frame.payload)
        .map_err(|error| nonsense(format!("end of stream: {error}")))?;
    end.error.map_or(Ok(()), |error| Err(error.into()))
}

fn frame_error(error: &FrameError) -> AgentError {
    match error {
        FrameError::TooLong { limit, .. } => AgentError::TooLarge {
            what: "event",
            limit: *limit as u64,
        },
        FrameError::Flags(_) | FrameError::Truncated => nonsense(error.to_string()),
    }
}

fn carried((path, bytes, executable): &(String, Bytes, bool)) -> StartFile {
    StartFile {
        path: path.clone(),
        data: bytes.to_vec(),
        executable: *executable,
    }
}

impl AgentClient {
    /// Starts a command and follows it. Returns once it runs.
    ///
    /// # Errors
    /// The agent cannot be reached, or refuses: `invalid_argument` for a program or directory
    /// that is not there, `unauthenticated` for an unknown user.
    pub async fn start(&self, request: &StartRequest) -> Result<ProcessStream, AgentError> {
        let message = wire::StartRequest {
            process: Some(ProcessConfig {
                cmd: request.cmd.clone(),
                args: request.args.clone(),
                envs: request.envs.clone(),
                cwd: request.cwd.clone(),
            }),
            pty: request.pty.map(|size| Pty { size: Some(size) }),
            tag: request.tag.clone(),
            stdin: Some(request.stdin),
            files: request.files.iter().map(carried).collect(),
        };
        let method = "process.Process/Start";
        let mut head = begin_rpc(
            method,
            STREAM_TYPE,
            request.user.as_deref(),
            request.timeout,
        );
        if request.forked {
            head = head.header(FORKED_HEADER, "1");
        }
        self.follow(head, &message).await
    }

    /// Follows a command that runs, from now on.
    ///
    /// # Errors
    /// The agent cannot be reached, or there is no such command (`not_found`).
    pub async fn connect(&self, pid: u32) -> Result<ProcessStream, AgentError> {
        let head = begin_rpc("process.Process/Connect", STREAM_TYPE, None, None);
        self.follow(head, &select(pid)).await
    }

    /// Follows the command that `selector` names, from now on.
    ///
    /// # Errors
    /// As [`AgentClient::connect`].
    pub async fn connect_to(&self, selector: ProcessSelector) -> Result<ProcessStream, AgentError> {
        let message = SelectRequest {
            process: Some(selector),
        };
        let head = begin_rpc("process.Process/Connect", STREAM_TYPE, None, None);
        self.follow(head, &message).await
    }

    async fn follow(
        &self,
        head: http::request::Builder,
        message: &impl Serialize,
    ) -> Result<ProcessStream, AgentError> {
        let frame = encode_frame(0, &to_json(message)?);
        let request = finish(head, Bytes::from(frame))?;
        let (connection, response) = self.pool.send(&self.limits, request).await?;
        if response.status() != StatusCode::OK {
            return Err(not_a_stream(response.status()));
        }
        let reader = FrameReader::new(self.limits.event_bytes);
        let connection = Some(connection);
        let mut stream = ProcessStream {
            connection,
            body: response.into_body(),
            reader,
            pid: 0,
        };
        let limit = self.limits.header;
        let first = tokio::time::timeout(limit, stream.next_message()).await;
        let first = first.map_err(|_| AgentError::Timeout {
            what: "start a command",
            limit,
        })??;
        let start = first.and_then(|event| event.start);
        stream.pid = start
            .ok_or_else(|| nonsense("stream does not begin with a start"))?
            .pid;
        Ok(stream)
    }

    /// Commands that run.
    ///
    /// # Errors
    /// The agent cannot be reached.
    pub async fn list_processes(&self) -> Result<Vec<wire::ProcessInfo>, AgentError> {
        let limit = self.limits.listing_bytes;
        let answer: ListResponse = self
            .unary("process.Process/List", None, &Empty {}, limit)
            .await?;
        Ok(answer.processes)
    }

    /// Sends a signal to one command, not to its children.
    ///
    /// # Errors
    /// The agent cannot be reached, or there is no such command (`not_found`).
    pub async fn signal(&self, pid: u32, signal: Signal) -> Result<(), AgentError> {
        let message = SendSignalRequest {
            process: Some(ProcessSelector::pid(pid)),
            signal,
        };
        self.process_call("SendSignal", &message).await
    }

    /// Closes a command's standard input.
    ///
    /// # Errors
    /// The agent cannot be reached, there is no such command, or it has a terminal.
    pub async fn close_stdin(&self, pid: u32) -> Result<(), AgentError> {
        self.process_call("CloseStdin", &select(pid)).await
    }

    /// As [`AgentClient::close_stdin`], for the command that `selector` names.
    ///
    /// # Errors
    /// As there.
    pub async fn close_stdin_of(&self, selector: ProcessSelector) -> Result<(), AgentError> {
        let message = SelectRequest {
            process: Some(selector),
        };
        self.process_call("CloseStdin", &message).await
    }

    /// Changes the size of a command's terminal.
    ///
    /// # Errors
    /// The agent cannot be reached, there is no such command, or it has no terminal.
    pub async fn resize(&self, pid: u32, size: PtySize) -> Result<(), AgentError> {
        let pty = Some(Pty { size: Some(size) });
        let message = UpdateRequest {
            process: Some(ProcessSelector::pid(pid)),
            pty,
        };
        self.process_call("Update", &message).await
    }

    /// A method of `process.Process` whose answer is empty.
    pub(super) async fn process_call(
        &self,
        method: &str,
        message: &impl Serialize,
    ) -> Result<(), AgentError> {
        let method = format!("process.Process/{method}");
        let Empty {} = self
            .unary(&method, None, message, self.limits.answer_bytes)
            .await?;
        Ok(())
    }
}

fn select(pid: u32) -> SelectRequest {
    SelectRequest {
        process: Some(ProcessSelector::pid(pid)),
    }
}
