//! Signals for commands, and their input.

use super::book::Book;
use super::running::Running;
use crate::control::Control;
use crate::error::{ControlError, in_plain_words};
use soulbox_model::{CommandId, CommandRecord, SandboxId, TeamId};
use soulbox_runtime::agent_client::{AgentClient, AgentError, InputStream};
use soulbox_wire::commands::Request;
use soulbox_wire::connect::Code;
use soulbox_wire::envd::process::ProcessSelector;
use std::sync::Arc;

impl Book {
    /// Sends a signal to a command, or to its whole process group.
    pub(crate) async fn signal(
        self: &Arc<Self>,
        id: &CommandId,
        signal: i32,
        group: bool,
    ) -> Result<(), AgentError> {
        let (call, answer) = self.calls.begin();
        let request = Request::Signal {
            call,
            id: id.to_string(),
            signal,
            group,
        };
        self.send(&request).await?;
        let limit = self.agent.limits().header;
        let answer = tokio::time::timeout(limit, answer).await;
        let answer = answer.map_err(|_| AgentError::Timeout {
            what: "send a signal",
            limit,
        })?;
        match answer {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error.into()),
            Err(_) => Err(AgentError::Broken(
                "the agent ended the connection before it answered".to_owned(),
            )),
        }
    }
}

impl Control {
    /// A command that is not over, with the book that it is in.
    async fn running_command(
        self: &Arc<Self>,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<(Arc<Book>, Arc<Running>), ControlError> {
        let record = self.command_record(team, sandbox, id).await?;
        let over = || over(&record);
        let live = self.of(team, sandbox).map_err(|_| over())?;
        self.wake(&live).await?;
        let book = self.books.find(sandbox).ok_or_else(over)?;
        let command = book.find(id).filter(|command| !command.is_over());
        let command = command.ok_or_else(over)?;
        Ok((book, command))
    }

    pub(crate) async fn signal_command(
        self: &Arc<Self>,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
        signal: i32,
        group: bool,
    ) -> Result<(), ControlError> {
        let (book, command) = self.running_command(team, sandbox, id).await?;
        let sent = book.signal(id, signal, group).await;
        sent.map_err(|error| failed(sandbox, &command, error))
    }

    /// A way to a command's input.
    ///
    /// # Errors
    /// There is no such command, it is over, or it takes no input; as a resume.
    pub async fn command_input(
        self: &Arc<Self>,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<CommandInput, ControlError> {
        let (book, command) = self.running_command(team, sandbox, id).await?;
        let record = command.record();
        if !record.stdin && record.terminal.is_none() {
            return Err(ControlError::invalid(
                "stdin",
                format!("command {id} was started without input; start it with \"stdin\": true"),
            ));
        }
        Ok(CommandInput {
            agent: book.agent.clone(),
            sandbox: sandbox.clone(),
            terminal: record.terminal.is_some(),
            command,
            stream: None,
        })
    }
}

fn over(record: &CommandRecord) -> ControlError {
    ControlError::CommandState {
        id: record.id.clone(),
        state: record.state,
    }
}

/// What a failed call about a command means.
fn failed(sandbox: &SandboxId, command: &Running, error: AgentError) -> ControlError {
    match error {
        AgentError::Rpc(error) if error.code == Code::NotFound => over(&command.record()),
        AgentError::Rpc(error) => ControlError::Refused {
            reason: in_plain_words(&error.message),
        },
        source => ControlError::Agent {
            id: sandbox.clone(),
            source,
        },
    }
}

/// A way to a command's input.
pub struct CommandInput {
    agent: AgentClient,
    sandbox: SandboxId,
    terminal: bool,
    command: Arc<Running>,
    stream: Option<InputStream>,
}

impl CommandInput {
    fn selector(&self) -> ProcessSelector {
        ProcessSelector::tag(self.command.id.as_str())
    }

    fn failed(&self, error: AgentError) -> ControlError {
        failed(&self.sandbox, &self.command, error)
    }

    /// Writes bytes; waits while the command does not read. What was written before a failure
    /// stays written.
    ///
    /// # Errors
    /// The command is over, or has closed its input.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ControlError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.agent.stream_input_to(self.selector(), self.terminal);
                let opened = opened.await.map_err(|error| self.failed(error))?;
                self.stream.insert(opened)
            }
        };
        let sent = stream.send(bytes).await;
        sent.map_err(|error| self.failed(error))
    }

    /// Waits until all of it is written, and closes the command's input if asked to.
    ///
    /// # Errors
    /// As [`CommandInput::write`].
    pub async fn finish(mut self, close: bool) -> Result<(), ControlError> {
        if let Some(stream) = self.stream.take() {
            let written = stream.finish().await;
            written.map_err(|error| self.failed(error))?;
        }
        if close {
            let closed = self.agent.close_stdin_of(self.selector()).await;
            closed.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }
}
