//! Following a command's output as it comes.

use super::archive::Archive;
use super::book::Book;
use super::read::{Commands, OutputPiece};
use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{CommandId, CommandRecord, SandboxId, TeamId};
use soulbox_runtime::agent_client::OutputStream;
use soulbox_wire::commands::Request;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Somebody who follows a command. It reads from where it says: nothing is lost by coming late, or
/// by being slow.
pub struct Follower {
    command: Commands,
    archive: Archive,
    book: Option<Arc<Book>>,
    changes: Option<watch::Receiver<()>>,
}

impl Follower {
    /// The command's record as it is now.
    pub fn record(&self) -> CommandRecord {
        self.command.record()
    }

    /// The next pieces of standard output and standard error from these offsets on, each at most
    /// `limit` bytes; at least one has bytes. Nothing when the command is over and there is no
    /// more. May be given up and asked again.
    ///
    /// # Errors
    /// The output cannot be read.
    pub async fn next(
        &mut self,
        offsets: [u64; 2],
        limit: usize,
    ) -> Result<Option<[OutputPiece; 2]>, ControlError> {
        loop {
            // What is written from here on is told; what was written before is read below.
            self.ask_to_be_told().await;
            let pieces = self.look(offsets, limit).await?;
            if pieces.iter().any(|piece| !piece.bytes.is_empty()) {
                return Ok(Some(pieces));
            }
            if pieces.iter().all(|piece| piece.end) {
                return Ok(None);
            }
            let Some(changes) = &mut self.changes else {
                return Ok(None);
            };
            if changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// What there is now of standard output and standard error from these offsets on, each at most
    /// `limit` bytes.
    ///
    /// # Errors
    /// The output cannot be read.
    pub async fn look(
        &self,
        [out, err]: [u64; 2],
        limit: usize,
    ) -> Result<[OutputPiece; 2], ControlError> {
        let read = |stream, offset| self.command.read(&self.archive, stream, offset, limit);
        Ok([
            read(OutputStream::Stdout, out).await?,
            read(OutputStream::Stderr, err).await?,
        ])
    }

    /// Has the agent tell once when the command has written more.
    async fn ask_to_be_told(&self) {
        let (Commands::Running(command), Some(book)) = (&self.command, &self.book) else {
            return;
        };
        if command.is_over() || command.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(link) = book.open_link().await {
            let id = command.id.to_string();
            // If the connection breaks, all who follow are woken when there is another one.
            let _ = link.sender.send(&Request::Follow { id }, None).await;
        }
    }
}

impl Control {
    /// Follows a command of a team's sandbox.
    ///
    /// # Errors
    /// There is no such command.
    pub async fn follow_command(
        &self,
        team: &TeamId,
        sandbox: &SandboxId,
        id: &CommandId,
    ) -> Result<Follower, ControlError> {
        let command = self.command(team, sandbox, id).await?;
        let changes = match &command {
            Commands::Running(running) => Some(running.changed.subscribe()),
            Commands::Ended(_) => None,
        };
        Ok(Follower {
            command,
            archive: self.archive.clone(),
            book: self.books.find(sandbox),
            changes,
        })
    }
}
