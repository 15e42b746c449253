//! How slots ended.

use soulbox_wire::spawner::{Cause, Failure, Usage};

/// How a slot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Whether a sandbox ran in it.
    pub ran: bool,
    /// Why it ended.
    pub cause: Cause,
    /// The exit code of its PID 1, when it exited.
    pub code: Option<i32>,
    /// The signal that ended its PID 1, 0 if none did.
    pub signal: i32,
    /// What it had used.
    pub usage: Usage,
    /// What could not be given back.
    pub problems: Vec<Failure>,
    /// Whether the spawner was lost before it told the end: then nothing above is known.
    pub lost: bool,
}

impl Gone {
    /// A slot whose spawner was lost.
    pub(super) fn with_the_spawner() -> Self {
        Self {
            ran: false,
            cause: Cause::Alone,
            code: None,
            signal: 9,
            usage: Usage::default(),
            problems: Vec::new(),
            lost: true,
        }
    }

    /// Whether all of it was given back, so that its number may be used again.
    pub(super) fn is_clean(&self) -> bool {
        !self.lost && self.problems.is_empty()
    }
}
