//! A live sandbox: its commands, its files, its end.

use crate::client::{ClientError, Place};
use crate::command::Command;
use crate::way::Way;
use bytes::Bytes;
use soulbox_agent_client::{AgentError, FileStream, StartRequest};
use soulbox_model::SandboxId;
use soulbox_wire::envd::filesystem::EntryInfo;
use soulbox_wire::envd::process::ProcessInfo;

/// A live sandbox. Dropping it leaves it alive: it ends by [`Sandbox::kill`], or when its time is over.
#[derive(Debug, Clone)]
pub struct Sandbox {
    id: SandboxId,
    way: Way,
    place: Place,
    /// The longest answer that is read whole, in bytes.
    longest: u64,
}

/// A command that is over, and all that it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What it wrote to standard output, or to its terminal.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Its exit code; -1 when a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Sandbox {
    pub(crate) fn new(id: SandboxId, way: Way, place: Place, longest: u64) -> Self {
        Self {
            id,
            way,
            place,
            longest,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// The longest answer that is read whole, in bytes.
    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    /// Ends it. Of an engine in this process, this waits until nothing of it is left.
    ///
    /// # Errors
    /// It has ended already ([`ClientError::is_not_found`]), or [`ClientError`].
    pub async fn kill(&self) -> Result<(), ClientError> {
        match &self.place {
            Place::Server(server) => Ok(server.kill(&self.id).await?),
            #[cfg(feature = "embedded")]
            Place::Engine(engine) => Ok(engine.kill(&self.id).await?),
        }
    }

    /// Starts a command; what it prints is read from what this gives.
    ///
    /// # Errors
    /// There is no such program, directory or user, or [`ClientError`].
    pub async fn start(&self, command: &StartRequest) -> Result<Command, ClientError> {
        let stream = self.way.client.start(command).await?;
        Ok(Command::new(
            stream,
            self.way.clone(),
            command.pty.is_some(),
        ))
    }

    /// Runs a command to its end, without input.
    ///
    /// # Errors
    /// As [`Sandbox::start`]; its time limit passed; or it printed more than is read whole (setting
    /// `client.answer`), which leaves it running.
    pub async fn run(&self, command: &StartRequest) -> Result<Finished, ClientError> {
        self.start(command).await?.wait(self.longest).await
    }

    /// The commands that run in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn processes(&self) -> Result<Vec<ProcessInfo>, ClientError> {
        Ok(self.way.client.list_processes().await?)
    }

    /// Writes a file, and makes the directories above it.
    ///
    /// # Errors
    /// The sandbox refuses, as when its disk is full, or [`ClientError`].
    pub async fn write(&self, path: &str, content: impl Into<Bytes>) -> Result<(), ClientError> {
        let written = self.way.client.write_file(path, None, content.into());
        Ok(written.await.map(drop)?)
    }

    /// What a file holds.
    ///
    /// # Errors
    /// There is no such file, it is longer than is read whole (setting `client.answer`; [`Sandbox::open_file`]
    /// reads any), or [`ClientError`].
    pub async fn read(&self, path: &str) -> Result<Bytes, ClientError> {
        let stream = self.open_file(path, self.longest).await?;
        Ok(stream.read_to_end().await?.into())
    }

    /// Opens a file, of which at most `limit` bytes are given out.
    ///
    /// # Errors
    /// There is no such file, it is longer, or [`ClientError`].
    pub async fn open_file(&self, path: &str, limit: u64) -> Result<FileStream, ClientError> {
        Ok(self.way.client.read_file(path, None, limit).await?)
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// There is no such directory, or [`ClientError`].
    pub async fn list_dir(&self, path: &str) -> Result<Vec<EntryInfo>, ClientError> {
        Ok(self.way.client.list_dir(path, 1, None).await?)
    }

    /// What is at a path; none where nothing is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stat(&self, path: &str) -> Result<Option<EntryInfo>, ClientError> {
        match self.way.client.stat(path, None).await {
            Err(error) if error.is_not_found() => Ok(None),
            told => Ok(Some(told?)),
        }
    }

    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// Something is there, or [`ClientError`].
    pub async fn make_dir(&self, path: &str) -> Result<(), ClientError> {
        Ok(self.way.client.make_dir(path, None).await.map(drop)?)
    }

    /// Gives a file or directory another name.
    ///
    /// # Errors
    /// There is none, or [`ClientError`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), ClientError> {
        Ok(self.way.client.move_to(from, to, None).await.map(drop)?)
    }

    /// Removes a file, or a directory and all in it. What is not there is removed already.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, path: &str) -> Result<(), ClientError> {
        Ok(self.way.client.remove(path, None).await?)
    }
}

/// An answer that is longer than is read whole.
pub(crate) fn too_long(what: &'static str, limit: u64) -> ClientError {
    AgentError::TooLarge { what, limit }.into()
}
