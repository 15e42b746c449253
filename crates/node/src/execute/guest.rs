//! What running code needs of a sandbox: a role, so that everything above it is tested without
//! one.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::error::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a file is to hold.
pub enum Input {
    /// These bytes.
    Bytes(Bytes),
    /// What this says until its end.
    Reader(Box<dyn AsyncRead + Send + Unpin>),
}

/// What a sandbox said, or that it said nothing.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A file or directory inside that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The sandbox refused; its words are cut and cleaned of control characters.
    #[error("{0}")]
    Refused(String),
    /// The file system inside is full.
    #[error("the sandbox's disk is full")]
    DiskFull,
    /// A file is larger than what is accepted.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// A file that went with a command could not be written. Nothing was started.
    #[error("a file that the program needs could not be written")]
    NotCarried,
    /// Reading or writing on the host failed.
    #[error("reading or writing on the host failed")]
    Host(#[source] std::io::Error),
    /// The sandbox is gone, or does not answer, or answers nonsense.
    #[error("the sandbox does not answer")]
    Gone(#[source] Box<dyn Error + Send + Sync>),
}

/// A command to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Environment variables, on top of those of the sandbox.
    pub variables: BTreeMap<String, String>,
    /// The working directory; none: the user's home.
    pub workdir: Option<String>,
    /// The user; none: `user`.
    pub user: Option<String>,
    /// Whether input will be sent; else stdin is empty.
    pub stdin: bool,
    /// Whether an interpreter that is loaded already may run it, where there is one.
    pub forked: bool,
    /// Files that are to be there before it starts; of those who carry files only.
    pub files: Vec<Carried>,
}

/// A file that goes into a sandbox with the command that needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Where it goes.
    pub path: String,
    /// What it holds.
    pub content: Bytes,
    /// Whether it is a program.
    pub executable: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It printed on stdout.
    Stdout(Bytes),
    /// It printed on stderr.
    Stderr(Bytes),
    /// It ended; nothing follows.
    End(End),
}

/// What a process does, in order.
pub trait Events: Send {
    /// The next event.
    fn next(&mut self) -> impl Future<Output = Result<Event, GuestError>> + Send;
}

/// The way to a process.
pub trait Control: Send + Sync {
    /// Sends input. Waits while the process does not read.
    fn write(&self, bytes: Bytes) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// Ends the input.
    fn close(&self) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// Kills the process.
    fn kill(&self) -> impl Future<Output = Result<(), GuestError>> + Send;
}

/// A live sandbox, as far as running code in it goes. Everything that it says may be a lie of the
/// code that runs in it; implementations bound it in size and time.
pub trait Guest: Sync {
    /// What a process does.
    type Events: Events;
    /// The way to a process.
    type Control: Control;

    /// The name of its template, for messages.
    fn template(&self) -> String;

    /// Whether files can go with a command. Then [`GuestError::NotCarried`] says that one did not.
    fn carries_files(&self) -> bool {
        false
    }

    /// Starts a process.
    fn start(
        &self,
        command: &Command,
    ) -> impl Future<Output = Result<(Self::Events, Self::Control), GuestError>> + Send;

    /// The files below a directory, by their whole paths.
    fn list_files(
        &self,
        directory: &str,
        user: Option<&str>,
    ) -> impl Future<Output = Result<Vec<String>, GuestError>> + Send;

    /// Writes a file, with the directories above it, owned by `user`, and marks it as a program if it is one.
    fn write_file(
        &self,
        path: &str,
        user: Option<&str>,
        content: Input,
        executable: bool,
    ) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// Copies a file to `to`, at most `limit` bytes of it.
    fn read_file(
        &self,
        path: &str,
        user: Option<&str>,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        limit: u64,
    ) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// Whether a program of that name is in the usual directories.
    fn has_program(&self, name: &str) -> impl Future<Output = Result<bool, GuestError>> + Send;

    /// Kills every process in it, by the host's own means; they may take a moment to end.
    fn kill_all(&self) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// Whether Linux killed a process of it for want of memory. Told by the host's own counters.
    fn ran_out_of_memory(&self) -> impl Future<Output = bool> + Send;

    /// Whether its file system is full.
    fn disk_is_full(&self) -> impl Future<Output = bool> + Send;
}
