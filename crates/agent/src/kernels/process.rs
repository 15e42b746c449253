//! A kernel's process.

use crate::channel::watch;
use crate::process::signal::kill_session;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::unix::net::UnixStream;
use tokio::io::unix::AsyncFd;

/// A kernel's process and the socket on which it is talked to.
pub(crate) struct KernelProcess {
    /// The leader of a session of its own.
    pid: Pid,
    /// Readable once it has ended. Numbers are given again, this is not.
    handle: AsyncFd<OwnedFd>,
    /// Our end of its control socket.
    pub(crate) control: tokio::net::UnixStream,
    /// What it says on standard error before it serves: why it cannot.
    log: Option<OwnedFd>,
}

/// Bytes of a kernel's log.
pub(crate) const LOG: u64 = 4 * 1024;

impl KernelProcess {
    /// Takes over a process that lives, or has not been waited for.
    ///
    /// # Errors
    /// Linux's own, when there is no such process or no descriptor left.
    pub(crate) fn new(pid: Pid, control: UnixStream, log: Option<OwnedFd>) -> io::Result<Self> {
        let handle = watch(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
        control.set_nonblocking(true)?;
        Ok(Self {
            pid,
            handle,
            control: tokio::net::UnixStream::from_std(control)?,
            log,
        })
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        // It stays readable, and the wait fails only when the runtime goes away.
        let _ = self.handle.readable().await;
    }

    /// Interrupts what it runs.
    pub(crate) fn interrupt(&self) {
        let _ = pidfd_send_signal(self.handle.get_ref(), Signal::INT);
    }

    /// Whether it lives still.
    pub(crate) fn lives(&self) -> bool {
        let mut ended = [PollFd::new(self.handle.get_ref(), PollFlags::IN)];
        poll(&mut ended, Some(&Timespec::default())) == Ok(0)
    }

    /// Ends it and what it has started, as far as that is still in its session.
    pub(crate) fn kill(&self) {
        // Only while the number is certainly its own. What a process that ended by itself has left
        // running goes on.
        if self.lives() {
            kill_session(self.pid);
            let _ = pidfd_send_signal(self.handle.get_ref(), Signal::KILL);
        }
    }

    /// The last that it has said on standard error.
    pub(crate) fn last_words(&self) -> String {
        let mut bytes = vec![0; usize::try_from(LOG).unwrap_or_default()];
        let read = self
            .log
            .as_ref()
            .map(|log| rustix::io::pread(log, &mut bytes, 0));
        bytes.truncate(read.and_then(Result::ok).unwrap_or_default());
        let text = String::from_utf8_lossy(&bytes);
        let words = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        words.to_owned()
    }
}
