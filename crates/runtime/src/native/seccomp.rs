//! The system-call filter of a sandbox, compiled from `policy/seccomp.toml` when the crate is
//! built.

use super::step::{Step, StepError};
use soulbox_syscall::seccomp::{self, Instruction};

/// The filter: a search tree over the calls' numbers, with the checks of arguments behind it.
pub static FILTER: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/filter.rs"));

/// Puts the calling thread and all that it starts under the filter, for good.
///
/// To be called before [`super::capability::apply`], which gives up what loading needs.
///
/// # Errors
/// Linux's own, see [`seccomp::load`].
pub fn load() -> Result<(), StepError> {
    seccomp::load(FILTER).step(|| "load the system-call filter".to_owned())
}
