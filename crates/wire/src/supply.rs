//! How the host supplies an agent with interpreters that are loaded already, each a process of the
//! sandbox: copies of its template's zygote, or one that the agent is to start itself and keep.
//!
//! One connection to the agent's socket. It begins with [`PREFACE`]; then both sides send frames
//! (see [`crate::connect`]) with one JSON message each: the host [`Request`]s, the agent [`Event`]s.
//! The newest connection counts; the agent ends an older one. The agent asks, the host answers in
//! any order; a descriptor travels beside the first byte of the frame that says it has one: the
//! agent's end of the process's control socket, a stream socket.

use crate::connect::RpcError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first bytes of a connection for supplies.
pub const PREFACE: &[u8] = b"SUPPLIES 1\n";

/// The longest message of either side, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Ask for so many at once, and keep them until they are needed. First on a connection.
    Open {
        /// 0 to [`MAX_AHEAD`].
        ahead: u32,
    },
    /// Start a process of Node.js that waits for a script, in place of [`Request::Open`]. It serves one
    /// run at the most.
    Ready {
        /// What every process of the sandbox is going to be told, as far as it is known yet.
        variables: BTreeMap<String, String>,
    },
    /// The answer to [`Event::Want`]: a process joined the sandbox, as a child of the agent. Its
    /// control socket comes along.
    Supplied {
        /// The number of the call.
        call: u64,
        /// Its process id inside.
        pid: u32,
    },
    /// The answer to [`Event::Want`]: there is none; start one without help.
    Unable {
        /// The number of the call.
        call: u64,
        /// Why.
        error: RpcError,
    },
}

/// The most processes that wait in one sandbox.
pub const MAX_AHEAD: u32 = 4;

impl Request {
    /// Whether a descriptor travels with it.
    #[must_use]
    pub fn has_descriptor(&self) -> bool {
        matches!(self, Self::Supplied { .. })
    }
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The answer to [`Request::Open`]: from now on it asks here.
    Opened,
    /// The answer to [`Request::Ready`]: it waits.
    Waits,
    /// The answer to [`Request::Ready`]: there is none; programs are started when they are run.
    Lacks {
        /// Why.
        error: RpcError,
    },
    /// It wants a process.
    Want {
        /// A number that the agent has not used on this connection.
        call: u64,
        /// As whom it is to run, inside.
        uid: u32,
        /// Its group inside.
        gid: u32,
        /// Its other groups inside.
        groups: Vec<u32>,
        /// Its directory inside.
        directory: String,
    },
}
