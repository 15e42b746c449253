//! The spawner's journal: what it holds, written down before it is made.
//!
//! A spawner that is killed tells nobody what it leaves. Its journal does: two files in the
//! engine's run directory, one JSON object to a line, so that it can be read with `cat` too. The
//! next engine ends the processes named in it and gives back the rest, and tells how those
//! sandboxes ended that ended while nobody was there.
//!
//! ```text
//! taken ─▶ born ─▶ prepared ─▶ running ─▶ note ─▶ ended ─▶ back
//! ```
//!
//! Lines are written with one `write(2)` each and never synchronised: they are to outlive a
//! process, not the machine, whose boot id stands at the head. One file is written at a time.
//! When it has grown, the other one is emptied and begun with what still counts, and a line says
//! when that is complete; so one of the two is whole at every moment. A last line that was cut
//! short is no error.
//!
//! An engine that takes a living spawner over reads in it how sandboxes ended meanwhile; what runs
//! it asks the spawner itself.

mod read;
mod write;

#[cfg(fuzzing)]
pub(crate) use read::parse;
pub use read::{Found, Held, JournalError, read};
pub(super) use write::Journal;

use super::identity::Identity;
use serde::{Deserialize, Serialize};
use soulbox_wire::spawner::{Failure, MAX_NOTE, Network, Usage};

/// How many files a journal has.
pub const FILES: usize = 2;

/// The version of the format; a journal of another one is not read.
const VERSION: u32 = 1;

/// The longest line in bytes: a note whose every byte is escaped, and its frame.
const LINE: usize = 6 * MAX_NOTE + 1024;

/// How many problems of a slot are written down.
const PROBLEMS: usize = 8;

/// How much of a failed step's description is written down, in characters.
const STEP: usize = 200;

/// The head of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The format's version.
    version: u32,
    /// The boot that everything in it belongs to.
    pub boot: String,
    /// The spawner that writes.
    pub spawner: Identity,
    /// How many times the journal has changed files; the higher one counts.
    turn: u64,
}

/// Why a sandbox ended, as far as the spawner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The engine asked for it.
    Asked,
    /// Its making failed.
    Failed,
    /// Its first process ended without having been asked to: the agent ended, or somebody on the
    /// host killed it, or Linux did for want of memory.
    Alone,
    /// Its deadline came.
    Expired,
    /// The engine was gone, so the spawner ended it.
    EngineLost,
    /// The spawner was gone, and Linux ended it. No spawner writes this; readers conclude it.
    SpawnerLost,
    /// The machine was restarted. No spawner writes this; readers conclude it.
    MachineStopped,
}

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Why.
    pub ending: Ending,
    /// The exit code of PID 1, when it exited.
    pub code: Option<i32>,
    /// The signal that ended PID 1, when one did.
    pub signal: Option<i32>,
    /// What it had used.
    pub usage: Usage,
}

/// A line after the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Head(Head),
    /// Everything of the file before is repeated by now.
    Complete,
    /// A slot is about to be made.
    Taken {
        slot: u32,
        network: Network,
        at: u64,
    },
    /// PID 1 was cloned.
    Born {
        slot: u32,
        process: Identity,
    },
    /// It waits for its start.
    Prepared {
        slot: u32,
    },
    /// Its agent accepts connections.
    Running {
        slot: u32,
    },
    /// What the engine says that it is.
    Note {
        slot: u32,
        text: String,
    },
    /// PID 1 has ended.
    Ended {
        slot: u32,
        end: End,
    },
    /// Everything is given back but for the problems.
    Back {
        slot: u32,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        problems: Vec<Failure>,
    },
    /// How a sandbox ended whose slot was given back, kept over a change of files.
    Past {
        slot: u32,
        note: Option<String>,
        end: End,
    },
}

/// The id of this boot.
///
/// # Errors
/// Linux's own.
pub fn boot() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// The time in milliseconds since 1970.
pub(super) fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Problems as they are written down: few and short.
fn shortened(problems: &[Failure]) -> Vec<Failure> {
    let few = problems.iter().take(PROBLEMS);
    few.map(|problem| Failure {
        step: problem.step.chars().take(STEP).collect(),
        errno: problem.errno,
    })
    .collect()
}
