//! A network namespace that belongs to a user namespace of its own.
//!
//! It takes a process that is born in both. That one needs nothing but a system call or two, so it is no
//! copy: it borrows the caller's memory and descriptors while the caller stands still, as after vfork(2).
//! A copy of a process that holds many descriptors costs ten times as much.

use crate::clone::last_error;
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};

/// What the child opens: its own, for it shares no thread with anybody.
const OWN: &std::ffi::CStr = c"/proc/thread-self/ns/net";
/// `CLONE_VFORK` keeps the caller where it is until the child has ended.
const FLAGS: libc::c_int = libc::CLONE_VM
    | libc::CLONE_VFORK
    | libc::CLONE_FILES
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWNET;

/// Makes a user namespace that belongs to the caller's effective user, maps no id and holds no
/// process, and a network namespace that belongs to it. Both live for as long as the descriptor, which is
/// of the latter, or what is in it. `/proc` must be the one of the caller's pid namespace.
///
/// # Errors
/// Linux's own, see clone(2), open(2).
pub fn network_namespace() -> Result<OwnedFd> {
    // SAFETY: `clone_args` is plain numbers, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(FLAGS.unsigned_abs());
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let mut opened: i32 = -libc::EIO;
    // SAFETY: both places live through the call, and nobody else uses them meanwhile.
    let born = unsafe { born(&raw mut args, &raw mut opened) };
    if born < 0 {
        return Err(errno(born));
    }
    let pid = libc::pid_t::try_from(born).map_err(|_| Errno::OVERFLOW)?;
    let collected = loop {
        // SAFETY: no place is given to write to.
        match unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } {
            -1 if last_error() == Errno::INTR => {}
            -1 => break Err(last_error()),
            _ => break Ok(()),
        }
    };
    if opened < 0 {
        return Err(errno(i64::from(opened)));
    }
    // SAFETY: the child opened it in the table that it shared with the caller, and nobody else
    // knows of it.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    collected.map(|()| opened)
}

fn errno(negative: i64) -> Errno {
    Errno::from_raw_os_error(i32::try_from(-negative).unwrap_or(libc::EIO))
}

/// Makes the child, which opens [`OWN`], writes the descriptor or what went wrong to `opened`, and ends.
/// Gives its process id, or what went wrong.
///
/// # Safety
/// Both must be valid, and nobody else's until this returns.
#[cfg(target_arch = "x86_64")]
unsafe fn born(args: *mut libc::clone_args, opened: *mut i32) -> i64 {
    let result: i64;
    // SAFETY: the child uses the caller's stack pointer, so it must not use the stack: it does not, it only
    // makes system calls, until it ends. What it does to registers stays its own. The caller goes on when
    // the child has ended (CLONE_VFORK). Without `nostack`, a signal handler that runs in the child finds
    // nothing of the caller's below the stack pointer.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {openat}",
            "mov edi, {here}",
            "mov rsi, r12",
            "mov edx, {flags}",
            "xor r10d, r10d",
            "syscall",
            "mov dword ptr [r13], eax",
            "3:",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "jmp 3b",
            "2:",
            openat = const libc::SYS_openat,
            here = const libc::AT_FDCWD,
            flags = const libc::O_RDONLY | libc::O_CLOEXEC,
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") OWN.as_ptr(),
            in("r13") opened,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// As on x86-64.
///
/// # Safety
/// Both must be valid, and nobody else's until this returns.
#[cfg(target_arch = "aarch64")]
unsafe fn born(args: *mut libc::clone_args, opened: *mut i32) -> i64 {
    let result: i64;
    // SAFETY: as on x86-64.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x8, {openat}",
            "mov x0, {here}",
            "mov x1, x20",
            "movz x2, {flags}, lsl 16",
            "mov x3, xzr",
            "svc 0",
            "str w0, [x21]",
            "3:",
            "mov x0, xzr",
            "mov x8, {exit}",
            "svc 0",
            "b 3b",
            "2:",
            openat = const libc::SYS_openat,
            here = const libc::AT_FDCWD,
            flags = const libc::O_CLOEXEC >> 16,
            exit = const libc::SYS_exit,
            in("x8") libc::SYS_clone3,
            inlateout("x0") args => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x20") OWN.as_ptr(),
            in("x21") opened,
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn each_is_another_and_nobody_is_left() {
        if !rustix::process::geteuid().is_root() {
            // Not every machine lets others make user namespaces.
            return;
        }
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let made = [network_namespace().unwrap(), network_namespace().unwrap()];
        let [first, second] = made.each_ref().map(|namespace| {
            std::fs::read_link(format!("/proc/self/fd/{}", namespace.as_raw_fd())).unwrap()
        });
        assert!(first != second && first != own && second != own);
        assert!(first.to_str().unwrap().starts_with("net:["), "{first:?}");
        for namespace in &made {
            let flags = rustix::io::fcntl_getfd(namespace).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn what_linux_refuses_is_told() {
        // A set of arguments that no clone takes: the error comes from the same instruction.
        // SAFETY: `clone_args` is plain numbers.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = u64::MAX;
        let mut opened = 0;
        // SAFETY: both live through the call.
        let born = unsafe { born(&raw mut args, &raw mut opened) };
        assert_eq!(errno(born), Errno::INVAL);
    }
}
