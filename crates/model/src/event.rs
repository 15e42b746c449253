//! What happened to a sandbox, and why it ended.

use crate::time::Moment;
use serde::{Deserialize, Serialize};

/// Why a sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Somebody asked for it.
    Killed,
    /// Its time was over.
    Expired,
    /// What it was made for is done: a run of its own is over.
    Finished,
    /// Its first process ended for want of memory.
    OutOfMemory,
    /// Its first process ended by itself or by a signal that was not ours.
    Crashed,
    /// The process that makes sandboxes was lost, and its sandboxes with it.
    SpawnerLost,
    /// It could not be made.
    NotStarted,
    /// The server was stopped and told to end its sandboxes.
    ServerStopped,
    /// It was gone when the server started again, and nothing is known of its end.
    Lost,
}

impl EndCause {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Expired => "expired",
            Self::Finished => "finished",
            Self::OutOfMemory => "out_of_memory",
            Self::Crashed => "crashed",
            Self::SpawnerLost => "spawner_lost",
            Self::NotStarted => "not_started",
            Self::ServerStopped => "server_stopped",
            Self::Lost => "lost",
        }
    }
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It was made and accepts connections.
    Created,
    /// Its time was set.
    TimeoutSet,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// The rules of its network were changed.
    NetworkSet,
    /// Another server process took it over.
    Adopted,
    /// A process in it was killed for want of memory.
    ProcessOutOfMemory,
    /// It ended.
    Ended,
}

impl EventKind {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::TimeoutSet => "timeout_set",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::NetworkSet => "network_set",
            Self::Adopted => "adopted",
            Self::ProcessOutOfMemory => "process_out_of_memory",
            Self::Ended => "ended",
        }
    }
}

/// One thing that happened to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub kind: EventKind,
    /// Why it ended, for an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<EndCause>,
    /// What there is to say beyond that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
