//! `wait4`: how a child ended and what it had used.

use crate::clone::last_error;
use rustix::io::Result;
use rustix::process::Pid;
use std::time::Duration;

/// How a child ended, and what it and those whom it had waited for had used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, when it exited.
    pub code: Option<i32>,
    /// The signal that ended it, when one did.
    pub signal: Option<i32>,
    /// Processor time, in user and system mode together.
    pub cpu: Duration,
}

/// Collects the child `pid` if it has ended; `None` while it lives.
///
/// # Errors
/// Linux's own, see wait4(2); `ECHILD` when it is no child or was collected before.
pub fn try_wait(pid: Pid) -> Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which all zeroes is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let raw = pid.as_raw_nonzero().get();
    // SAFETY: both places are valid for writing and live through the call.
    let result = unsafe { libc::wait4(raw, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match result {
        0 => Ok(None),
        n if n > 0 => {
            let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
            let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
            Ok(Some(Ended { code, signal, cpu }))
        }
        _ => Err(last_error()),
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
