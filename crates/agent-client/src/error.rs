//! Why a call to an agent failed.

use http::StatusCode;
use soulbox_wire::connect::{Code, RpcError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a call to an agent failed. What the agent said is text of the sandbox: it may be anything.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No connection could be made.
    #[error("cannot connect to the agent at {socket}: {source}")]
    Connect {
        /// Where the agent should listen.
        socket: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// A time limit of this client passed.
    #[error("agent took longer than {limit:?} to {what}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection ended in the middle of a call.
    #[error("connection to the agent broke: {0}")]
    Broken(String),
    /// A method of a service failed.
    #[error("agent refused: {0}")]
    Rpc(#[from] RpcError),
    /// A plain route failed.
    #[error("agent answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// What the agent said.
        message: String,
    },
    /// The answer is longer than the caller takes.
    #[error("agent sent more than {limit} bytes of {what}")]
    TooLarge {
        /// What was too long.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The answer is none that an agent of ours gives.
    #[error("agent's answer makes no sense: {0}")]
    Protocol(String),
    /// Reading what was to be sent failed on the host.
    #[error("cannot read what is to be sent: {0}")]
    Source(io::Error),
}

impl AgentError {
    /// The code of a refusal by a method of a service.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Rpc(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether what the call names does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Rpc(error) => error.code == Code::NotFound,
            Self::Status { status, .. } => *status == StatusCode::NOT_FOUND,
            _ => false,
        }
    }

    /// Whether the call's own time limit, which the agent keeps, ended it.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.code() == Some(Code::DeadlineExceeded)
    }
}

impl From<hyper::Error> for AgentError {
    fn from(error: hyper::Error) -> Self {
        use std::error::Error as _;
        let cause = error
            .source()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        Self::Broken(format!("{error}{cause}"))
    }
}
