//! `clone3`: a new process, in new namespaces.

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::sync::atomic::{AtomicI32, Ordering};

bitflags::bitflags! {
    /// The namespaces that the new process gets of its own (`CLONE_NEW*`, clone(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Namespaces: u64 {
        /// Mounts.
        const MOUNT = libc::CLONE_NEWNS as u64;
        /// Host and domain name.
        const UTS = libc::CLONE_NEWUTS as u64;
        /// System V IPC and POSIX message queues.
        const IPC = libc::CLONE_NEWIPC as u64;
        /// User and group ids.
        const USER = libc::CLONE_NEWUSER as u64;
        /// Process ids.
        const PID = libc::CLONE_NEWPID as u64;
        /// Network.
        const NET = libc::CLONE_NEWNET as u64;
        /// Cgroup names.
        const CGROUP = libc::CLONE_NEWCGROUP as u64;
    }
}

/// Which side of the clone the caller is on.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The new process, as the caller's pid namespace numbers it.
        pid: Pid,
        /// A descriptor of the new process.
        pidfd: OwnedFd,
    },
}

/// `CLONE_INTO_CGROUP` (clone(2), Linux 5.7).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a copy of the calling process in new namespaces, as `fork` does.
///
/// `cgroup` is a directory of the cgroup v2 hierarchy in which the child is born.
/// The child's death is told to the parent by `SIGCHLD`.
///
/// # Errors
/// Linux's own, see clone(2). [`Errno::DEADLK`] when the process has more than one thread: a
/// copy would hold locks that nobody releases.
pub fn clone_process(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    single_threaded()?;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: `clone_args` is plain numbers, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces.bits() | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| Errno::BADF)?;
    }
    // SAFETY: without CLONE_VM the child gets a copy of the memory, as with fork; the process has
    // one thread (checked above), so no lock is held by a thread that the copy lacks. `args`
    // lives through the call and `pidfd` is a valid place for the descriptor.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    };
    match result {
        0 => Ok(Side::Child),
        n if n > 0 => {
            let pid = i32::try_from(n)
                .ok()
                .and_then(Pid::from_raw)
                .ok_or(Errno::OVERFLOW)?;
            // SAFETY: CLONE_PIDFD put a new descriptor there, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent { pid, pidfd })
        }
        _ => Err(last_error()),
    }
}

/// Checks, once per process, that it has one thread only.
fn single_threaded() -> Result<()> {
    static CHECKED_FOR: AtomicI32 = AtomicI32::new(0);
    let me = rustix::process::getpid().as_raw_nonzero().get();
    if CHECKED_FOR.load(Ordering::Relaxed) == me {
        return Ok(());
    }
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|_| Errno::NOENT)?;
    if tasks.count() != 1 {
        return Err(Errno::DEADLK);
    }
    CHECKED_FOR.store(me, Ordering::Relaxed);
    Ok(())
}

/// The error of the last C library call.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
