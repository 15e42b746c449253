//! Descriptor numbers: giving a program exactly the descriptors that it is to have.

use crate::clone::last_error;
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

/// The lowest number that [`place`] moves descriptors away to before it fills the low ones.
const ABOVE: RawFd = 64;

/// Makes `wanted[i]` descriptor number `i`, closes all others and returns the new owners.
///
/// The low ones survive `exec`, but for those whose `bool` is true (close on exec). For a freshly
/// cloned child: every other descriptor of the process is closed, whatever value believes to
/// own it, so none of those values may be used or dropped afterwards.
///
/// # Errors
/// Linux's own, see dup3(2) and close_range(2); [`Errno::MFILE`] for more than 64 descriptors.
pub fn place(wanted: Vec<(OwnedFd, bool)>) -> Result<Vec<OwnedFd>> {
    let count = RawFd::try_from(wanted.len()).map_err(|_| Errno::MFILE)?;
    if count > ABOVE {
        return Err(Errno::MFILE);
    }
    let mut moved = Vec::with_capacity(wanted.len());
    for (fd, close_on_exec) in wanted {
        // SAFETY: duplicates an open descriptor to a free number at or above ABOVE.
        let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE) };
        if high < 0 {
            return Err(last_error());
        }
        moved.push((high, close_on_exec));
        // Closed with everything else below; a drop here could close a number that is in use
        // again by then.
        std::mem::forget(fd);
    }
    for (number, (high, close_on_exec)) in (0..).zip(moved) {
        let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
        // SAFETY: `high` is open and differs from `number`, which is below ABOVE. Replacing the
        // descriptor `number` is this function's documented effect.
        if unsafe { libc::dup3(high, number, flags) } < 0 {
            return Err(last_error());
        }
    }
    close_from(count)?;
    // SAFETY: each number below `count` was just made by `dup3`, and nobody else owns it.
    Ok((0..count)
        .map(|number| unsafe { OwnedFd::from_raw_fd(number) })
        .collect())
}

/// Makes `kept` descriptor number 3, closes all from 4 on and returns its new owner. Descriptors
/// 0 to 2 stay as they are. The warning of [`place`] holds here too.
///
/// # Errors
/// Linux's own, see dup3(2) and close_range(2).
pub fn keep(kept: OwnedFd) -> Result<OwnedFd> {
    if kept.as_raw_fd() != 3 {
        // SAFETY: `kept` is open and is not number 3. Replacing number 3 is this function's
        // documented effect.
        if unsafe { libc::dup3(kept.as_raw_fd(), 3, libc::O_CLOEXEC) } < 0 {
            return Err(last_error());
        }
    }
    // Closed with all the others, or now owned by the value that is returned.
    std::mem::forget(kept);
    close_from(4)?;
    // SAFETY: number 3 is open, and `kept`, its owner if it had one, was forgotten.
    Ok(unsafe { OwnedFd::from_raw_fd(3) })
}

/// Closes every descriptor from number `first` on.
///
/// # Errors
/// Linux's own, see close_range(2).
pub fn close_from(first: RawFd) -> Result<()> {
    let first = libc::c_uint::try_from(first).map_err(|_| Errno::BADF)?;
    // SAFETY: closing descriptors breaks no memory; the callers are freshly cloned children that
    // use none of the closed ones again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}
