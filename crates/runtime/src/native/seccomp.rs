//! The system-call filter of a sandbox, compiled from `policy/seccomp.toml` when the crate is
//! built.

use super::step::{Step, StepError};
use soulbox_syscall::seccomp::{self, Instruction};

/// The filter: a search tree over the calls' numbers, with the checks of arguments behind it.
pub static FILTER: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/filter.rs"));

/// The filter of zygotes: the same with what `policy/zygote.toml` adds.
static ZYGOTE_FILTER: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/zygote_filter.rs"));

/// As [`load`], for a zygote.
///
/// # Errors
/// Linux's own, see [`seccomp::load`].
pub(super) fn load_for_zygote() -> Result<(), StepError> {
    seccomp::load(ZYGOTE_FILTER).step(|| "load the zygote's system-call filter".to_owned())
}

/// Puts the calling thread and all that it starts under the filter, for good.
///
/// To be called before [`super::capability::apply`], which gives up what loading needs.
///
/// # Errors
/// Linux's own, see [`seccomp::load`].
pub fn load() -> Result<(), StepError> {
    seccomp::load(FILTER).step(|| "load the system-call filter".to_owned())
}
