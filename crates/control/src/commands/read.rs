//! Looking at commands: their records, their output, their end.

use super::archive::Archive;
use super::running::Running;
use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{CommandId, CommandRecord, SandboxId, TeamId};
use soulbox_runtime::agent_client::OutputStream;
use std::sync::Arc;
use std::time::Duration;

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPiece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they begin.
    pub offset: u64,
    /// Whether there is nothing behind them and never will be.
    pub end: bool,
    /// How much there is of this output now.
    pub size: soulbox_model::OutputSize,
}

/// A command, wherever it is kept.
pub(crate) enum Commands {
    /// In memory, as it is not over, or its end is not kept yet.
    Running(Arc<Running>),
    /// On disk.
    Ended(Box<CommandRecord>),
}

impl Commands {
    pub(crate) fn record(&self) -> CommandRecord {
        match self {
            Self::Running(command) => command.record(),
            Self::Ended(record) => (**record).clone(),
        }
    }

    /// Reads output from an offset.
    pub(crate) async fn read(
        &self,
        archive: &Archive,
        stream: OutputStream,
        offset: u64,
        limit: usize,
    ) -> Result<OutputPiece, ControlError> {
        // Whether it was over before the output is looked at, not after: then this is all.
        let record = self.record();
        let size = match stream {
            OutputStream::Stdout => record.stdout,
            OutputStream::Stderr => record.stderr,
        };
        let output = match self {
            Self::Running(command) => command.output(),
            Self::Ended(_) => None,
        };
        let failed = |reason: String| ControlError::Output { reason };
        let over = record.state.is_over();
        let bytes = match output {
            Some(output) => {
                let read = output.read(stream, offset, limit);
                read.map_err(|error| failed(error.to_string()))?
            }
            None => {
                let archive = archive.clone();
                let read = move || archive.read(&record, stream, offset, limit);
                let read = tokio::task::spawn_blocking(read).await;
                let read = read.map_err(|error| failed(error.to_string()))?;
                read.map_err(|error| failed(format!("cannot read the output: {error}")))?
            }
        };
        Ok(OutputPiece {
            end: over && offset.saturating_add(bytes.len() as u64) >= size.kept,
            bytes,
            offset,
            size,
        })
    }
}

impl Control {
    /// A command of a team's sandbox, whether that lives or has ended.
    pub(crate) async fn command(
        &self,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<Commands, ControlError> {
        if self.of(team, sandbox).is_err() {
            self.records.sandbox(team, sandbox).await?;
        }
        let running = self.books.find(sandbox).and_then(|book| book.find(id));
        if let Some(command) = running {
            return Ok(Commands::Running(command));
        }
        let ended = self.archive.find(sandbox, id).await?;
        let ended = ended.ok_or_else(|| ControlError::NoCommand(id.to_string()))?;
        Ok(Commands::Ended(Box::new(ended)))
    }

    pub(crate) async fn command_record(
        &self,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<CommandRecord, ControlError> {
        Ok(self.command(team, sandbox, id).await?.record())
    }

    /// The commands of a sandbox that are kept, the oldest first.
    pub(crate) async fn list_commands(
        &self,
        team: &TeamId,
        sandbox: &SandboxId,
    ) -> Result<Vec<CommandRecord>, ControlError> {
        if self.of(team, sandbox).is_err() {
            self.records.sandbox(team, sandbox).await?;
        }
        // Those that run first: one that ends meanwhile is found on disk, too.
        let book = self.books.find(sandbox);
        let running = book.map(|book| book.all()).unwrap_or_default();
        let mut all: std::collections::BTreeMap<_, _> = self
            .archive
            .ended(sandbox)
            .await?
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        for command in running {
            let record = command.record();
            all.entry(record.id.clone()).or_insert(record);
        }
        Ok(all.into_values().collect())
    }

    /// Waits for a command's end, at most so long; its record then, over or not.
    pub(crate) async fn wait_command(
        &self,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
        limit: Duration,
    ) -> Result<CommandRecord, ControlError> {
        let command = match self.command(team, sandbox, id).await? {
            Commands::Ended(record) => return Ok(*record),
            Commands::Running(command) => command,
        };
        let mut changed = command.changed.subscribe();
        let over = async {
            while !command.is_over() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(limit, over).await;
        Ok(command.record())
    }
}
