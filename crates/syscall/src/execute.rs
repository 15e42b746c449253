//! `execve`: becoming another program, with an empty environment.

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// Replaces the process by the program at the path `words[0]`, with `words` as its arguments and an
/// empty environment. Returns only when that failed.
pub fn execute_path(words: &[CString]) -> Errno {
    let Some(path) = words.first() else {
        return Errno::INVAL;
    };
    let arguments = words.iter().map(|word| word.as_ptr());
    let arguments: Vec<_> = arguments.chain([std::ptr::null()]).collect();
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: the strings end with NUL and the arrays with a null pointer; all live through the
    // call. On success the call does not return.
    unsafe {
        libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    }
    last_error()
}

/// Replaces the process by the program behind `program`, which no path names that a sandbox could
/// change, with one argument (its name) and an
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
