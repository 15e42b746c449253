//! Starting a program, and hearing of the end of children.
//!
//! A program is started with `clone(CLONE_VM | CLONE_VFORK)`: the child borrows the caller's
//! memory until it has executed the program, and the caller waits for that. No page table is
//! copied, and a failure on the way comes back through that memory, without a pipe.

use crate::clone::last_error;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};

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
/// descriptor but its standard three, and no core file.
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
    let all_blocked = block_signals(u64::MAX);
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
    block_signals_exactly(all_blocked);
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
        let _ = close_on_execute_from(3);
        self.set_limits().map_err(at(Step::Limits))?;
        if let Some(identity) = program.identity {
            become_user(identity).map_err(at(Step::Identity))?;
        }
        rustix::process::chdir(program.directory).map_err(at(Step::Directory))?;
        if HAS_NO_HANDLERS.load(Ordering::Relaxed) {
            reset_signal(libc::SIGPIPE);
            block_signals_exactly(0);
        } else {
            reset_signals();
        }
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

fn become_user(identity: Identity<'_>) -> rustix::io::Result<()> {
    let Identity { uid, gid, groups } = identity;
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// The number of signals that Linux knows (`_NSIG`).
const SIGNALS: c_int = 64;

/// Whether this program has handlers for no signal and ignores none but `SIGPIPE`, as
/// [`child_signals`] makes it. Then 63 system calls less, about 15 µs, ready each new program.
static HAS_NO_HANDLERS: AtomicBool = AtomicBool::new(false);

/// Gives every signal its default disposition and lets all of them through.
fn reset_signals() {
    for signal in 1..=SIGNALS {
        reset_signal(signal);
    }
    block_signals_exactly(0);
}

/// Gives a signal its default disposition.
fn reset_signal(signal: c_int) {
    // The shape of Linux's own `struct sigaction` on every architecture, with room to spare;
    // all zeroes is the default disposition without flags.
    let default = [0_u64; 4];
    // SAFETY: Linux reads the structure and writes nothing; this is the raw call, so the C
    // library's records, which a child shares with its caller, stay as they are. It refuses
    // SIGKILL and SIGSTOP, which are at their default anyway.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, 8) };
}

/// Blocks exactly the signals of `mask` (bit n-1 is signal n) for this thread.
fn block_signals_exactly(mask: u64) {
    block_signals(mask);
}

/// As [`block_signals_exactly`]; returns what was blocked before.
fn block_signals(mask: u64) -> u64 {
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
    reset_signals();
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    HAS_NO_HANDLERS.store(true, Ordering::Relaxed);
    let children = 1_u64 << (libc::SIGCHLD - 1);
    block_signals_exactly(children);
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, WaitStatus};
    use std::io::Read as _;
    use std::path::Path;

    struct Case {
        paths: Vec<CString>,
        arguments: Vec<CString>,
        environment: Vec<CString>,
        directory: CString,
    }

    fn case(paths: &[&str], arguments: &[&str]) -> Case {
        let strings = |texts: &[&str]| texts.iter().map(|t| CString::new(*t).unwrap()).collect();
        Case {
            paths: strings(paths),
            arguments: strings(arguments),
            environment: strings(&["PATH=/usr/bin:/bin", "COLOUR=blue"]),
            directory: CString::new("/").unwrap(),
        }
    }

    /// Runs it to its end: its status, and what it wrote to its standard output and error.
    fn run(case: &Case) -> Result<(WaitStatus, String), StartError> {
        let null = std::fs::File::open("/dev/null").unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let program = Program {
            paths: &case.paths,
            arguments: &case.arguments,
            environment: &case.environment,
            directory: &case.directory,
            stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
            controls_terminal: false,
            identity: None,
            open_files: Some(Rlimit {
                current: Some(77),
                maximum: Some(99),
            }),
        };
        let pid = start(&program)?;
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
            .unwrap()
            .unwrap();
        Ok((status, text))
    }

    #[test]
    fn a_program_gets_what_it_was_given_and_no_more() {
        let script = "echo $COLOUR; pwd; ulimit -n; ulimit -Hn; ulimit -c; ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' \
            /proc/self/status; cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$";
        let (status, text) = run(&case(&["/bin/bash"], &["bash", "-c", script])).unwrap();
        assert_eq!(status.exit_status(), Some(0));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[..5], ["blue", "/", "77", "99", "0"], "{text}");
        // `ls` itself has the directory open as the fourth.
        assert_eq!(lines[5..9], ["0", "1", "2", "3"], "{text}");
        assert_eq!(lines[9], "SigBlk:\t0000000000000000");
        assert_eq!(lines[10], "SigIgn:\t0000000000000000");
        assert_eq!(lines[11], lines[12], "leader of its session and group");
    }

    #[test]
    fn paths_are_tried_in_turn() {
        let found = case(
            &["/nonexistent/true", "/etc/passwd/true", "/bin/true"],
            &["true"],
        );
        assert_eq!(run(&found).unwrap().0.exit_status(), Some(0));
        let errno = |paths: &[&str]| run(&case(paths, &["x"])).map(|_| ()).unwrap_err();
        let missing = StartError {
            step: Step::Execute,
            errno: Errno::NOENT,
        };
        assert_eq!(errno(&["/nonexistent"]), missing);
        assert_eq!(errno(&[]), missing);
        let refused = StartError {
            step: Step::Execute,
            errno: Errno::ACCESS,
        };
        assert_eq!(errno(&["/etc/passwd", "/nonexistent"]), refused);
    }

    #[test]
    fn a_failed_start_leaves_no_child() {
        let mut wrong = case(&["/bin/true"], &["true"]);
        wrong.directory = CString::new("/nonexistent").unwrap();
        let error = run(&wrong).map(|_| ()).unwrap_err();
        assert_eq!(
            error,
            StartError {
                step: Step::Directory,
                errno: Errno::NOENT
            }
        );
        assert_eq!(
            error.to_string(),
            "cannot enter the working directory: No such file or directory (os error 2)"
        );
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        for pid in children.split_whitespace() {
            let comm = std::fs::read_to_string(Path::new("/proc").join(pid).join("comm"));
            assert_ne!(comm.unwrap_or_default().trim(), "true");
        }
    }

    #[test]
    fn another_user_is_become_by_root_alone() {
        let identity = Identity {
            uid: Uid::from_raw(1234),
            gid: Gid::from_raw(2345),
            groups: &[Gid::from_raw(7), Gid::from_raw(8)],
        };
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let case = case(&["/bin/sh"], &["sh", "-c", "id -u; id -g; id -G"]);
        let program = Program {
            paths: &case.paths,
            arguments: &case.arguments,
            environment: &case.environment,
            directory: &case.directory,
            stdio: [null.as_fd(), writer.as_fd(), null.as_fd()],
            controls_terminal: false,
            identity: Some(identity),
            open_files: None,
        };
        let result = start(&program);
        drop(writer);
        if !rustix::process::geteuid().is_root() {
            let refused = StartError {
                step: Step::Identity,
                errno: Errno::PERM,
            };
            assert_eq!(result, Err(refused));
            return;
        }
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "1234\n2345\n2345 7 8\n");
        let ended = rustix::process::waitpid(Some(result.unwrap()), WaitOptions::empty());
        assert_eq!(ended.unwrap().unwrap().1.exit_status(), Some(0));
    }
}
