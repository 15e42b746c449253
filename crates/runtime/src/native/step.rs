//! A step that Linux refused: what was being done, on what, and the error.

use rustix::io::Errno;
use soulbox_wire::spawner::Failure;

/// A step that Linux refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step}")]
pub struct StepError {
    /// What was being done, and on what.
    pub step: String,
    /// Linux's error.
    #[source]
    pub errno: Errno,
}

impl StepError {
    /// The same for the wire.
    pub fn failure(&self) -> Failure {
        Failure {
            step: self.step.clone(),
            errno: self.errno.raw_os_error(),
        }
    }
}

/// Names the step of a system call's result.
pub trait Step<T> {
    /// Names the step, in the form that follows "cannot".
    ///
    /// # Errors
    /// The system call's error, named.
    fn step(self, name: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|errno| StepError {
            step: name(),
            errno,
        })
    }
}
