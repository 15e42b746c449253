//! When a sandbox is ended or paused without anybody asking.

use rustix::time::{ClockId, clock_gettime};
use soulbox_wire::spawner;
use std::time::Duration;

pub use soulbox_wire::spawner::Then;

/// When a sandbox is ended or paused by its spawner, whether an engine is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// How long from now, sleep of the machine included.
    pub left: Duration,
    /// What is done then.
    pub then: Then,
}

/// The time in milliseconds since boot, sleep included.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let ms = time.tv_sec.saturating_mul(1000) + time.tv_nsec / 1_000_000;
    u64::try_from(ms).unwrap_or(0)
}

impl From<Deadline> for spawner::Deadline {
    fn from(deadline: Deadline) -> Self {
        let left = u64::try_from(deadline.left.as_millis()).unwrap_or(u64::MAX);
        Self {
            at_ms: now().saturating_add(left),
            then: deadline.then,
        }
    }
}

impl From<spawner::Deadline> for Deadline {
    fn from(deadline: spawner::Deadline) -> Self {
        Self {
            left: Duration::from_millis(deadline.at_ms.saturating_sub(now())),
            then: deadline.then,
        }
    }
}
