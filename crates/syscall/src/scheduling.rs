//! `sched_setscheduler`: which thread goes first.

use crate::clone::last_error;
use rustix::io::Result;

/// Lets the calling thread go before all ordinary ones, whenever it has something to do, until it
/// ends. What it starts is ordinary again (`SCHED_FIFO`, `SCHED_RESET_ON_FORK`; sched(7)).
///
/// # Errors
/// Linux's own, see sched_setscheduler(2); `EPERM` for whom the host does not let do so.
pub fn go_first() -> Result<()> {
    // All that Linux's `sched_param` has; that of some libraries has more.
    let priority: libc::c_int = 1;
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: thread 0 is the caller; the priority is read during the call only. The call
    // itself, since some libraries refuse it.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) };
    match result {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_first_alone() {
        let policy = || {
            // SAFETY: it reads a number of the calling thread.
            unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) }
        };
        let first = std::thread::spawn(move || {
            let asked = go_first();
            let fifo = i64::from(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
            match asked {
                Ok(()) => assert_eq!(policy(), fifo),
                Err(errno) => assert_eq!(errno, rustix::io::Errno::PERM),
            }
            std::thread::spawn(policy).join()
        });
        let child = first.join().expect("no panic").expect("no panic");
        assert_eq!(child, i64::from(libc::SCHED_OTHER));
    }
}
