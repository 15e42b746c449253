//! Who a process is, so that no later one with the same number is taken for it.
//!
//! Linux gives a process id to somebody else as soon as its bearer has been collected, so an id
//! alone names nobody. With the time at which the process started it does, for as long as the
//! machine is not restarted. Whoever makes a process need not ask Linux for that time: it lies
//! between two looks at the clock, before and after.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Nanoseconds of a tick, in which Linux tells start times: `USER_HZ` is 100 on all
/// architectures (`include/asm-generic/param.h` in the Linux sources).
const TICK: i64 = 10_000_000;

/// A process of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its process id.
    pub pid: u32,
    /// It started no earlier, in ticks of 10 ms since boot.
    pub earliest: u64,
    /// It started no later.
    pub latest: u64,
}

impl Identity {
    /// The process `pid` as it lives now; `None` when there is none, or it has ended and only
    /// waits to be collected.
    pub fn of(pid: u32) -> Option<Self> {
        let started = started(pid)?;
        Some(Self {
            pid,
            earliest: started,
            latest: started,
        })
    }

    /// A process that was made after `earliest`, a value of [`now`], and before this call.
    pub fn made_since(pid: u32, earliest: u64) -> Self {
        Self {
            pid,
            earliest,
            latest: now(),
        }
    }

    /// Whether it still lives.
    pub fn lives(&self) -> bool {
        started(self.pid).is_some_and(|at| (self.earliest..=self.latest).contains(&at))
    }

    /// A descriptor of it; `None` when it has ended.
    pub fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        // Opened first and looked at then: were the number given to somebody else in between, the
        // descriptor would be of the one that has ended, whom no signal reaches.
        let opened = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.lives().then_some(opened)
    }

    /// Gives it `grace` to end by itself, kills it, and waits up to `limit` for its end. True when
    /// it has ended.
    pub fn end(&self, grace: Duration, limit: Duration) -> bool {
        let Some(process) = self.open() else {
            return true;
        };
        if wait(&process, grace) {
            return true;
        }
        let _ = pidfd_send_signal(&process, Signal::KILL);
        wait(&process, limit)
    }
}

/// Waits for the end of a process; true when it came within `limit`.
fn wait(process: &OwnedFd, limit: Duration) -> bool {
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec::try_from(limit).ok();
    matches!(poll(&mut watched, limit.as_ref()), Ok(n) if n > 0)
}

/// The time since boot in ticks, as Linux notes it for a process that starts now.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec;
    u64::try_from(nanos / TICK).unwrap_or(0)
}

/// When a living process started (proc(5), field 22 of `stat`).
pub fn started(pid: u32) -> Option<u64> {
    start_in(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The same from the file's bytes. The name, in parentheses, is the process's own choice: it may
/// hold spaces, parentheses and what is no text, and must not make it look dead.
pub(crate) fn start_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let after_name = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test needs a process to end")]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    #[test]
    fn a_name_that_is_no_text_hides_no_process() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(OsStr::from_bytes(b"a) Z\xff\n("));
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("60").spawn().unwrap();
        let found = Identity::of(child.id());
        let lives = found.is_some_and(|found| found.lives());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lives, "{found:?}");
    }

    #[test]
    fn a_process_is_known_by_the_clock_around_its_start() {
        let before = now();
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let identity = Identity::made_since(child.id(), before);
        assert!(identity.lives());
        assert_eq!(
            Identity::of(child.id()).map(|found| found.pid),
            Some(child.id())
        );
        let other = Identity {
            earliest: identity.latest + 1,
            latest: identity.latest + 1000,
            ..identity
        };
        // Somebody else of the same number is neither found nor harmed.
        assert!(!other.lives() && other.open().is_none());
        assert!(other.end(Duration::ZERO, Duration::ZERO));
        assert!(child.try_wait().unwrap().is_none());
        assert!(identity.end(Duration::ZERO, Duration::from_secs(10)));
        // Not collected yet, but at its end.
        assert!(!identity.lives());
        child.wait().unwrap();
        assert!(identity.end(Duration::ZERO, Duration::ZERO));
    }
}
