//! Starting a program.
//!
//! A program is started with `clone(CLONE_VM | CLONE_VFORK)`: the child borrows the caller's
//! memory until it has executed the program, and the caller waits for that. No page table is
//! copied, and a failure on the way comes back through that memory, without a pipe.

use crate::clone::last_error;
use crate::inherit::close_on_execute_from;
use crate::signal;
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

/// Whom a program runs as.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// Its user id: real, effective and saved.
    pub uid: Uid,
    /// Its group id: real, effective and saved.
    pub gid: Gid,
    /// Its supplementary groups.
    pub groups: &'a [Gid],
}

/// A program to start, in a session and process group of its own.
///
/// It gets its signal mask and dispositions as Linux gives them to the first program, no
/// descriptor but its standard three and its control socket, and no core file.
#[derive(Debug)]
pub struct Program<'a> {
    /// Paths to try in turn until one exists. The error told is the last path's, unless an
    /// earlier one was found but not allowed.
    pub paths: &'a [CString],
    /// Its arguments, the first being its own name.
    pub arguments: &'a [CString],
    /// Its environment, as `NAME=value`.
    pub environment: &'a [CString],
    /// Its working directory, entered as its own user.
    pub directory: &'a CStr,
    /// Its standard input, output and error. Each is its own number already, or above 2.
    pub stdio: [BorrowedFd<'a>; 3],
    /// What it gets as descriptor 3, if anything. Above 2.
    pub control: Option<BorrowedFd<'a>>,
    /// Whether its standard input is a terminal that it is to control.
    pub controls_terminal: bool,
    /// Whom it runs as; `None` leaves that as it is.
    pub identity: Option<Identity<'a>>,
    /// Its limit of open files; `None` leaves that as it is.
    pub open_files: Option<Rlimit>,
}

/// The step at which starting a program failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Making the process.
    Clone,
    /// Making its session.
    Session,
    /// Taking its terminal.
    Terminal,
    /// Placing its standard descriptors.
    Descriptors,
    /// Setting its limits.
    Limits,
    /// Becoming its user.
    Identity,
    /// Entering its working directory.
    Directory,
    /// Executing the program.
    Execute,
}

/// Why a program was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartError {
    /// What failed.
    pub step: Step,
    /// How.
    pub errno: Errno,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Clone => "cannot make a process",
            Step::Session => "cannot make a session",
            Step::Terminal => "cannot take the terminal",
            Step::Descriptors => "cannot place standard descriptors",
            Step::Limits => "cannot set limits",
            Step::Identity => "cannot become the user",
            Step::Directory => "cannot enter the working directory",
            Step::Execute => "cannot execute the program",
        };
        write!(f, "{step}: {}", self.errno)
    }
}

impl std::error::Error for StartError {}

/// Bytes of stack for the child, which only makes system calls. An unoptimised build uses
/// about 2 KiB of it.
const STACK: usize = 16 * 1024;

/// The number of a program's control socket.
const CONTROL: RawFd = 3;

#[repr(C, align(16))]
struct Stack([MaybeUninit<u8>; STACK]);

/// What the child works from; it lies in the caller's memory, which the child shares.
struct Plan<'a> {
    program: &'a Program<'a>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    step: AtomicU8,
    errno: AtomicI32,
}

/// Starts a program and returns its process id once it is executing.
///
/// The caller is its parent and must wait for it.
///
/// # Errors
/// The step that failed; no process is left behind then.
pub fn start(program: &Program<'_>) -> Result<Pid, StartError> {
    start_with(program, libc::CLONE_VM | libc::CLONE_VFORK)
}

fn start_with(program: &Program<'_>, flags: c_int) -> Result<Pid, StartError> {
    let clone_error = |errno| StartError {
        step: Step::Clone,
        errno,
    };
    let plan = Plan {
        program,
        arguments: pointers(program.arguments),
        environment: pointers(program.environment),
        step: AtomicU8::new(Step::Clone as u8),
        errno: AtomicI32::new(0),
    };
    let mut stack = Stack([const { MaybeUninit::uninit() }; STACK]);
    let blocked_before = signal::block(u64::MAX);
    // SAFETY: the end of the stack's own array, which is 16-aligned as the ABI wants.
    let top = unsafe { stack.0.as_mut_ptr().add(STACK) };
    let argument = std::ptr::from_ref(&plan).cast_mut();
    // SAFETY: CLONE_VFORK suspends this thread until the child has executed a program or ended,
    // so `plan` and `stack` outlive its use of them and nobody else writes to either. `run_child`
    // only makes system calls and atomic stores and never returns into this function. Every
    // signal is blocked, so no handler runs in the child.
    let raw = unsafe {
        libc::clone(
            run_child,
            top.cast(),
            flags | libc::SIGCHLD,
            argument.cast(),
        )
    };
    let error = last_error();
    signal::block(blocked_before);
    // `Pid::from_raw` takes no negative number.
    let pid = Some(raw).filter(|raw| *raw > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| clone_error(error))?;
    match plan.errno.load(Ordering::Acquire) {
        0 => Ok(pid),
        errno => {
            // The child is ending; the reaper of this process must not meet it as a stranger.
            let options = rustix::process::WaitOptions::empty();
            while let Err(Errno::INTR) = rustix::process::waitpid(Some(pid), options) {}
            let step = Step::from_number(plan.step.load(Ordering::Acquire));
            Err(StartError {
                step,
                errno: Errno::from_raw_os_error(errno),
            })
        }
    }
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Clone,
        Self::Session,
        Self::Terminal,
        Self::Descriptors,
        Self::Limits,
        Self::Identity,
        Self::Directory,
        Self::Execute,
    ];

    fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Clone)
    }
}

/// Pointers to `strings`, and the null that ends them.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// The child. It shares the caller's memory: no allocation, no lock, no panic.
extern "C" fn run_child(plan: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to its `Plan`, which outlives the child's use of it.
    let plan = unsafe { &*plan.cast::<Plan<'_>>() };
    let Err((step, errno)) = plan.execute();
    plan.step.store(step as u8, Ordering::Release);
    plan.errno.store(errno.raw_os_error(), Ordering::Release);
    127
}

impl Plan<'_> {
    fn execute(&self) -> Result<Infallible, (Step, Errno)> {
        let at = |step| move |errno| (step, errno);
        let program = self.program;
        rustix::process::setsid().map_err(at(Step::Session))?;
        for (number, from) in (0..).zip(program.stdio) {
            place(from, number).map_err(at(Step::Descriptors))?;
        }
        if program.controls_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(at(Step::Terminal))?;
        }
        // Descriptors of ours are close-on-exec one by one; this covers any that is not.
        let _ = close_on_execute_from(CONTROL.unsigned_abs());
        if let Some(control) = program.control {
            place_control(control).map_err(at(Step::Descriptors))?;
        }
        self.set_limits().map_err(at(Step::Limits))?;
        if let Some(identity) = program.identity {
            become_user(identity).map_err(at(Step::Identity))?;
        }
        rustix::process::chdir(program.directory).map_err(at(Step::Directory))?;
        signal::reset_for_program();
        Err((Step::Execute, self.try_paths()))
    }

    fn set_limits(&self) -> rustix::io::Result<()> {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(Resource::Core, none)?;
        if let Some(limit) = self.program.open_files {
            rustix::process::setrlimit(Resource::Nofile, limit)?;
        }
        Ok(())
    }

    /// Returns only when no path could be executed.
    fn try_paths(&self) -> Errno {
        let mut refused = None;
        let mut last = Errno::NOENT;
        for path in self.program.paths {
            // SAFETY: the path ends with a zero byte; both lists hold pointers to such strings
            // and end with a null pointer; all of it lives in the waiting caller.
            unsafe {
                libc::execve(
                    path.as_ptr(),
                    self.arguments.as_ptr(),
                    self.environment.as_ptr(),
                )
            };
            last = last_error();
            match last {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => refused = Some(last),
                _ => return last,
            }
        }
        refused.unwrap_or(last)
    }
}

/// Makes `from` the standard descriptor `number`, kept across the start of the program.
fn place(from: BorrowedFd<'_>, number: RawFd) -> rustix::io::Result<()> {
    let raw = from.as_raw_fd();
    if raw == number {
        return rustix::io::fcntl_setfd(from, rustix::io::FdFlags::empty());
    }
    if raw <= 2 {
        return Err(Errno::INVAL);
    }
    match number {
        0 => rustix::stdio::dup2_stdin(from),
        1 => rustix::stdio::dup2_stdout(from),
        _ => rustix::stdio::dup2_stderr(from),
    }
}

/// Makes `from` descriptor 3, kept across the start of the program. Whatever of the caller's has that
/// number is not needed any more: the standard descriptors are in place.
fn place_control(from: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match from.as_raw_fd() {
        CONTROL => rustix::io::fcntl_setfd(from, rustix::io::FdFlags::empty()),
        0..=2 => Err(Errno::INVAL),
        raw => {
            // SAFETY: the child's table of descriptors is its own copy, and nothing in the child
            // uses the number again before it executes the program.
            match unsafe { libc::dup2(raw, CONTROL) } {
                CONTROL => Ok(()),
                _ => Err(last_error()),
            }
        }
    }
}

fn become_user(identity: Identity<'_>) -> rustix::io::Result<()> {
    let Identity { uid, gid, groups } = identity;
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
