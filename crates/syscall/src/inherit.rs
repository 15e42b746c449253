//! Descriptors across the start of a program: those that it was started with, and those that it
//! keeps from the programs that it starts.

use crate::clone::last_error;
use rustix::fd::{FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use std::sync::atomic::{AtomicU64, Ordering};

/// Takes a descriptor that the program was started with, and keeps it from the programs that it
/// starts. To be called before the program opens anything, so that nobody else owns the number.
///
/// # Errors
/// [`Errno::BADF`] when the number is not open, was taken before, or is above 63.
pub fn take_inherited(number: RawFd) -> rustix::io::Result<OwnedFd> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let bit = u32::try_from(number)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift));
    let bit = bit.ok_or(Errno::BADF)?;
    // SAFETY: asks about a number and changes nothing.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(last_error());
    }
    if TAKEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is open and was not taken before; that nothing of the program's own
    // has it is this function's documented condition.
    let taken = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&taken, rustix::io::FdFlags::CLOEXEC)?;
    Ok(taken)
}

/// Marks every descriptor from `first` on as close-on-exec.
///
/// # Errors
/// Linux's own, see `close_range(2)`; `ENOSYS` before Linux 5.11.
pub fn close_on_execute_from(first: u32) -> rustix::io::Result<()> {
    // SAFETY: the call marks descriptors; none is closed before this process executes a program.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}
