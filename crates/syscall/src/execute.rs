//! `execveat`: a program from a descriptor, with no path that a sandbox could change.

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::CStr;

/// Replaces the process by the program behind `program`, with one argument (its name) and an
/// empty environment. Returns only when that failed.
pub fn execute(program: BorrowedFd<'_>, name: &CStr) -> Errno {
    let arguments = [name.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: the strings end with NUL and the arrays with a null pointer; all live through the
    // call. On success the call does not return.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    last_error()
}
