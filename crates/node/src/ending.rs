//! How sandboxes end.

use crate::sandbox::Usage;
use soulbox_model::SandboxId;
use soulbox_runtime::native::driver::Gone;
use soulbox_runtime::native::journal::{self, Ending as Journalled};
use soulbox_wire::spawner::Cause;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `SIGKILL`, by which Linux ends who has no memory left.
const KILL: i32 = 9;

/// Why a sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowEnded {
    /// An engine asked for it.
    Destroyed,
    /// Its deadline came.
    Expired,
    /// Its first process exited with this code, and with it everything.
    Exited(i32),
    /// Its first process was killed by this signal, from outside.
    Killed(i32),
    /// Linux killed its first process for want of memory.
    OutOfMemory,
    /// It could not be started.
    Failed,
    /// The engine that had made it was lost, and it did not outlive that.
    EngineLost,
    /// The spawner was lost, and every sandbox with it.
    SpawnerLost,
    /// The machine was restarted.
    MachineStopped,
}

/// How a sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub how: HowEnded,
    /// What it had used.
    pub usage: Usage,
    /// The signal that ended its first process, 0 if none did.
    pub signal: i32,
    /// Whether the spawner was lost: then nothing else is known.
    pub lost: bool,
}

/// A sandbox that ended while no engine was there to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedMeanwhile {
    /// Its id.
    pub id: SandboxId,
    /// The note of whoever had asked for it.
    pub note: String,
    /// Why.
    pub how: HowEnded,
    /// When; of one whose end nobody saw, when that was found out.
    pub at: SystemTime,
    /// What it had used.
    pub usage: Usage,
}

impl EndedMeanwhile {
    pub(crate) fn new(id: SandboxId, note: String, end: &journal::End) -> Self {
        Self {
            id,
            note,
            how: end.into(),
            at: UNIX_EPOCH + Duration::from_millis(end.at),
            usage: end.usage.into(),
        }
    }
}

/// Of one whose first process ended without having been asked to.
fn alone(code: Option<i32>, signal: Option<i32>, oom_kills: u64) -> HowEnded {
    match (signal, code) {
        (Some(KILL), _) if oom_kills > 0 => HowEnded::OutOfMemory,
        (Some(signal), _) => HowEnded::Killed(signal),
        (None, code) => HowEnded::Exited(code.unwrap_or(0)),
    }
}

impl From<&Gone> for End {
    fn from(gone: &Gone) -> Self {
        let signal = (gone.signal != 0).then_some(gone.signal);
        let how = match gone.cause {
            _ if gone.lost => HowEnded::SpawnerLost,
            Cause::Asked => HowEnded::Destroyed,
            Cause::Failed => HowEnded::Failed,
            Cause::Expired => HowEnded::Expired,
            Cause::Alone => alone(gone.code, signal, gone.usage.oom_kills),
        };
        Self {
            how,
            usage: gone.usage.into(),
            signal: gone.signal,
            lost: gone.lost,
        }
    }
}

impl From<&journal::End> for HowEnded {
    fn from(end: &journal::End) -> Self {
        match end.ending {
            Journalled::Asked => Self::Destroyed,
            Journalled::Failed => Self::Failed,
            Journalled::Expired => Self::Expired,
            Journalled::Alone => alone(end.code, end.signal, end.usage.oom_kills),
            Journalled::EngineLost => Self::EngineLost,
            Journalled::SpawnerLost => Self::SpawnerLost,
            Journalled::MachineStopped => Self::MachineStopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_for_want_of_memory_is_told_from_another() {
        assert_eq!(alone(None, Some(9), 1), HowEnded::OutOfMemory);
        assert_eq!(alone(None, Some(9), 0), HowEnded::Killed(9));
        assert_eq!(alone(None, Some(11), 3), HowEnded::Killed(11));
        assert_eq!(alone(Some(3), None, 3), HowEnded::Exited(3));
    }
}
