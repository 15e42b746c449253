//! The host's side of a sandbox's agent.
//!
//! Whatever the agent answers is hostile: each answer is bounded in size and time
//! ([`AgentLimits`]), and an "ok" proves nothing but that somebody in the sandbox said so. Only
//! the life of a command has no limit of ours.
//!
//! No call is ever repeated by itself: a request that may have reached the agent is not sent
//! again.
//!
//! | What | File |
//! |---|---|
//! | connections, kept and new | `connection` |
//! | an agent's own socket, or a server's door | [`place`] |
//! | one request, one answer | `call` |
//! | failures, bounds | [`error`], [`limits`] |
//! | commands | [`process`], [`input`] |
//! | recorded commands, files for their output | [`commands`], [`output_file`] |
//! | files' contents | [`file`] |
//! | directories and names | [`filesystem`] |
//! | a client's own requests | [`pass`] |
//! | connections to the sandbox's own ports | [`dial`], [`sandbox_stream`] |

mod call;
pub mod commands;
mod connection;
pub mod dial;
pub mod error;
pub mod file;
pub mod filesystem;
pub mod input;
pub mod limits;
pub mod output_file;
pub mod pass;
pub mod place;
pub mod process;
pub mod sandbox_stream;
mod supply;

pub use call::KERNELS;
pub use commands::{CommandEvents, CommandSender};
pub use dial::DialError;
pub use error::AgentError;
pub use file::FileStream;
pub use input::InputStream;
pub use limits::AgentLimits;
pub use output_file::{OutputFile, OutputFileError, OutputStream};
pub use pass::PassBody;
pub use place::{Connect, Connecting, Door, Duplex};
pub use process::{ProcessEnd, ProcessEvent, ProcessStream, StartRequest};
pub use sandbox_stream::SandboxStream;
pub use supply::{Supplies, Want};

use connection::Pool;
use place::Place;
use soulbox_wire::envd::http::InitRequest;
use std::path::PathBuf;
use std::sync::Arc;

/// A client of one sandbox's agent. Clones share its connections.
#[derive(Debug, Clone)]
pub struct AgentClient {
    pool: Arc<Pool>,
    limits: AgentLimits,
}

impl AgentClient {
    /// A client of the agent that listens at `socket`. Connects when it is first used.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self::with_limits(socket, AgentLimits::default())
    }

    /// As [`AgentClient::new`], with other bounds.
    #[must_use]
    pub fn with_limits(socket: PathBuf, limits: AgentLimits) -> Self {
        Self {
            pool: Arc::new(Pool::new(Place::Socket(socket))),
            limits,
        }
    }

    /// A client of an agent that is reached through a server.
    #[must_use]
    pub fn through(door: Door, limits: AgentLimits) -> Self {
        Self {
            pool: Arc::new(Pool::new(Place::Server(door))),
            limits,
        }
    }

    /// Where the agent is reached: the path of its socket, or a server's host and port.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.pool.place().shown()
    }

    /// The bounds of its calls.
    #[must_use]
    pub fn limits(&self) -> &AgentLimits {
        &self.limits
    }

    /// Asks whether the agent answers.
    ///
    /// # Errors
    /// It does not, or not with the answer of an agent.
    pub async fn health(&self) -> Result<(), AgentError> {
        self.plain(http::Method::GET, "/health", None)
            .await
            .map(drop)
    }

    /// The names of the kernels that the sandbox says it has. Requests to them are passed on with
    /// the host [`KERNELS`].
    ///
    /// # Errors
    /// The agent cannot be reached, or does not answer so.
    pub async fn kernels(&self) -> Result<Vec<String>, AgentError> {
        #[derive(serde::Deserialize)]
        struct Kernels {
            kernels: Vec<String>,
        }
        let answer = self.plain_of_kernels("/soulbox/kernels").await?;
        let known: Kernels =
            serde_json::from_slice(&answer).map_err(|error| call::nonsense(error.to_string()))?;
        Ok(known.kernels)
    }

    /// Sets the sandbox's variables, default user and default directory.
    ///
    /// # Errors
    /// The agent cannot be reached or refuses.
    pub async fn init(&self, request: &InitRequest) -> Result<(), AgentError> {
        let body = call::to_json(request)?;
        self.plain(http::Method::POST, "/init", Some(body))
            .await
            .map(drop)
    }
}
