//! Time, as leases see it.

use std::time::Instant;

/// Tells the time by which leases end. Never goes back.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Instant;
}

/// The clock of Linux that no one can set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
