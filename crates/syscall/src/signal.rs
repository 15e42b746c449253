//! Signals: dispositions and masks of a program that starts others, and hearing of their end.

use crate::clone::last_error;
use rustix::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of signals that Linux knows (`_NSIG`).
const SIGNALS: c_int = 64;

/// Whether this program has handlers for no signal and ignores none but `SIGPIPE`, as
/// [`child_signals`] makes it. Then 63 system calls less, about 15 µs, ready each new program.
static HAS_NO_HANDLERS: AtomicBool = AtomicBool::new(false);

/// Readies signals for a program that is about to be executed: default dispositions, none
/// blocked. Handlers need no reset by themselves, but for the moment between here and the
/// program's start, when one could run in memory that is not the child's.
pub(crate) fn reset_for_program() {
    if HAS_NO_HANDLERS.load(Ordering::Relaxed) {
        reset(libc::SIGPIPE);
        block(0);
    } else {
        reset_all();
    }
}

/// Gives every signal its default disposition and lets all of them through.
fn reset_all() {
    for signal in 1..=SIGNALS {
        reset(signal);
    }
    block(0);
}

/// Gives a signal its default disposition.
fn reset(signal: c_int) {
    // The shape of Linux's own `struct sigaction` on every architecture, with room to spare;
    // all zeroes is the default disposition without flags.
    let default = [0_u64; 4];
    // SAFETY: Linux reads the structure and writes nothing; this is the raw call, so the C
    // library's records, which a child shares with its caller, stay as they are. It refuses
    // SIGKILL and SIGSTOP, which are at their default anyway.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, 8) };
}

/// Blocks exactly the signals of `mask` (bit n-1 is signal n) for this thread; returns what was
/// blocked before.
pub(crate) fn block(mask: u64) -> u64 {
    let mut before = 0_u64;
    // SAFETY: both sets are eight bytes, as the last argument says, and live through the call.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    before
}

/// Readies the calling program for being the parent of others: every signal gets its default
/// disposition but `SIGPIPE`, which stays ignored so that a closed reader is an error and not
/// an end; none is blocked but `SIGCHLD`, which the descriptor tells of instead.
///
/// The descriptor is non-blocking and readable once a child has ended since the last
/// [`clear_child_signals`]. To be called while the program has one thread, which installs no
/// handler afterwards.
///
/// # Errors
/// Linux's own, see `signalfd(2)`.
pub fn child_signals() -> rustix::io::Result<OwnedFd> {
    reset_all();
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    HAS_NO_HANDLERS.store(true, Ordering::Relaxed);
    let children = 1_u64 << (libc::SIGCHLD - 1);
    block(children);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is eight bytes, as the argument says, and lives through the call.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &raw const children,
            size_of::<u64>(),
            flags,
        )
    };
    let raw = RawFd::try_from(raw)
        .ok()
        .filter(|raw| *raw >= 0)
        .ok_or_else(last_error)?;
    // SAFETY: a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Empties a descriptor of [`child_signals`], so that the next end of a child makes it readable
/// again.
pub fn clear_child_signals(signals: impl AsFd) {
    // Room for eight `signalfd_siginfo`; Linux keeps one pending signal of a kind at most.
    let mut buffer = [0_u8; 128 * 8];
    let _ = rustix::io::read(signals, &mut buffer);
}
