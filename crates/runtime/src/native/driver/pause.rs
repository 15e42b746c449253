//! Pauses that cannot be had.

use super::{DriverError, errno_of};
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Failure, Refusal};
use std::time::Duration;

/// A sandbox that was not paused, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// It is paused, or just being paused.
    #[error("the sandbox is paused already")]
    AlreadyPaused,
    /// It is not paused.
    #[error("the sandbox is not paused")]
    NotPaused,
    /// Nothing on this host can pause it.
    #[error(
        "nothing here can pause sandboxes: this needs cgroup v2, or the v1 controller 'freezer'; \
         an ordinary user needs a group of the user's own in it (systemd: Delegate=yes)"
    )]
    NoFreezer,
    /// Its processes did not stop in time; they go on.
    #[error("the sandbox did not stand still within {0:?} (setting spawner.pause_timeout)")]
    Timeout(Duration),
    /// Linux refused.
    #[error("cannot {}", .0.step)]
    Step(Failure, #[source] Errno),
    /// It has ended, or the spawner has.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl PauseError {
    /// What an answer means that is not the wanted one.
    pub(super) fn of(event: Event, within: Duration) -> Self {
        let Event::Refused { why, .. } = event else {
            return Self::Driver(DriverError::Ended);
        };
        match why {
            Refusal::Frozen => Self::AlreadyPaused,
            Refusal::NotFrozen => Self::NotPaused,
            Refusal::NoFreezer => Self::NoFreezer,
            Refusal::TooSlow => Self::Timeout(within),
            Refusal::NotRunning | Refusal::NoZygote => Self::Driver(DriverError::Ended),
            Refusal::Linux(failure) => {
                let errno = errno_of(&failure).unwrap_or(Errno::IO);
                Self::Step(failure, errno)
            }
        }
    }
}
