//! Numbers of Linux: its calls on each architecture, and their flags.

/// Defines the calls, with their numbers on x86-64 and on aarch64.
macro_rules! calls {
    ($($name:ident = $x86:literal, $arm:literal;)*) => {
        $(
            /// The number of the call of this name.
            #[cfg(target_arch = "x86_64")]
            pub const $name: usize = $x86;
            /// The number of the call of this name.
            #[cfg(target_arch = "aarch64")]
            pub const $name: usize = $arm;
        )*
    };
}

// arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
calls! {
    WRITE = 1, 64;
    CLOSE = 3, 57;
    RT_SIGACTION = 13, 134;
    RT_SIGPROCMASK = 14, 135;
    GETPID = 39, 172;
    SENDMSG = 46, 211;
    RECVMSG = 47, 212;
    CLONE = 56, 220;
    UMASK = 95, 166;
    CHDIR = 80, 49;
    SETSID = 112, 157;
    SETGROUPS = 116, 159;
    SETRESUID = 117, 147;
    SETRESGID = 119, 149;
    CAPSET = 126, 91;
    SETPRIORITY = 141, 140;
    SCHED_SETSCHEDULER = 144, 119;
    PRCTL = 157, 167;
    GETTID = 186, 178;
    SET_TID_ADDRESS = 218, 96;
    CLOCK_GETTIME = 228, 113;
    EXIT_GROUP = 231, 94;
    UNSHARE = 272, 97;
    OPENAT = 257, 56;
    SET_ROBUST_LIST = 273, 99;
    GET_ROBUST_LIST = 274, 100;
    DUP3 = 292, 24;
    PRLIMIT64 = 302, 261;
    SETNS = 308, 268;
    SECCOMP = 317, 277;
    RSEQ = 334, 293;
    CLOSE_RANGE = 436, 436;
}

/// What `rseq` is given to show that both sides mean the same (glibc's `RSEQ_SIG`).
#[cfg(target_arch = "x86_64")]
pub const RSEQ_SIGNATURE: usize = 0x5305_3053;
/// What `rseq` is given to show that both sides mean the same (glibc's `RSEQ_SIG`).
#[cfg(target_arch = "aarch64")]
pub const RSEQ_SIGNATURE: usize = 0xD428_BC00;

/// The namespaces' flags (`CLONE_NEW*`), in the order of [`crate::message::NAMESPACES`].
pub const NAMESPACES: [usize; 5] = [
    0x2000_0000,
    0x0002_0000,
    0x0800_0000,
    0x0400_0000,
    0x0200_0000,
];

/// `CLONE_NEWUSER` and `CLONE_NEWNET`.
pub const USER_AND_NETWORK: usize = 0x1000_0000 | 0x4000_0000;

/// `EINTR`.
pub const EINTR: i32 = 4;
/// `EIO`.
pub const EIO: i32 = 5;
/// `EBADF`.
pub const EBADF: i32 = 9;
/// `EINVAL`.
pub const EINVAL: i32 = 22;
/// `EDEADLK`.
pub const EDEADLK: i32 = 35;
/// `EBADMSG`.
pub const EBADMSG: i32 = 74;

/// `SIGCHLD`.
pub const SIGCHLD: usize = 17;

/// Signals that C libraries keep for themselves: to cancel threads, to change the ids of all.
pub const OF_THREADS: [usize; 2] = [32, 33];
