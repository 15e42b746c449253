//! Commands in sandboxes: each is started once, recorded, and its output outlives whoever asked.
//!
//! ```text
//!  start ─▶ book (one for each sandbox: what is not over) ══ connection ══▶ agent
//!              │ ends                                          output ▶ file in memory
//!              ▼
//!           finish ─▶ output on disk, record in the store ─▶ forgotten by book and agent
//! ```
//!
//! | What | File |
//! |---|---|
//! | one command that is not over | `running` |
//! | those of a sandbox, the connection to its agent | `book` |
//! | what the agent tells | `listen` |
//! | starting | `start` |
//! | what lasts | `archive`, `finish` |
//! | reading output, waiting | `read`, [`follow`] |
//! | signals and input | `act` |
//! | after a restart, after a sandbox's end | `recover` |
//! | which of these is asked for | `execute` |

mod act;
mod archive;
mod book;
mod execute;
mod finish;
pub mod follow;
mod listen;
mod read;
mod recover;
mod running;
mod start;

pub use act::CommandInput;
pub use follow::Follower;
pub use read::OutputPiece;

pub(crate) use archive::Archive;
pub(crate) use book::Books;
pub(crate) use finish::Finisher;

use crate::idempotency::Once;
use soulbox_model::TerminalSize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A command that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCommand {
    /// The program, by path or by name, and its arguments.
    pub cmd: Vec<String>,
    /// Variables on top of the sandbox's.
    pub variables: BTreeMap<String, String>,
    /// Its working directory; the user's home if none is named.
    pub cwd: Option<String>,
    /// Who runs it; the sandbox's default user if nobody is named.
    pub user: Option<String>,
    /// Whether it takes input.
    pub stdin: bool,
    /// A terminal instead of pipes.
    pub terminal: Option<TerminalSize>,
    /// After which it is killed; no limit if absent.
    pub timeout: Option<Duration>,
    /// Whether its output waits, a while, for somebody who follows it through the agent.
    pub attended: bool,
    /// By which the same request is known when it is repeated.
    pub once: Option<Once>,
}
