//! System calls, each behind a function that takes and gives what it works on as values.
//!
//! They are made by the instruction itself: a C library's wrappers keep records (of thread ids, of
//! the identity of all threads) that are not this code's to touch, and there may be any library.

use crate::number;
use core::ffi::CStr;

/// Linux's error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a call gives.
pub type Result<T> = core::result::Result<T, Errno>;

/// Makes a call.
///
/// # Safety
/// Whatever the call reads or writes through an argument must be there for it.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn raw(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the caller answers for the arguments; the instruction changes no register but those
    // that are named.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// Makes a call.
///
/// # Safety
/// Whatever the call reads or writes through an argument must be there for it.
#[cfg(target_arch = "aarch64")]
#[inline]
unsafe fn raw(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the caller answers for the arguments; the instruction changes no register but those
    // that are named.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack)
        );
    }
    result
}

/// What `result` means.
pub fn checked(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Errno(i32::try_from(-result).unwrap_or(number::EIO)))
}

/// A call whose arguments are numbers alone.
fn call(number: usize, arguments: [usize; 5]) -> Result<usize> {
    // SAFETY: callers in this file use it for calls that touch no memory through their arguments.
    checked(unsafe { raw(number, arguments) })
}

/// As the register that holds it.
fn wide(number: i32) -> usize {
    (number as isize).cast_unsigned()
}

/// Ends the process.
pub fn exit(status: i32) -> ! {
    loop {
        let _ = call(number::EXIT_GROUP, [wide(status), 0, 0, 0, 0]);
    }
}

/// This process, in its own pid namespace.
#[must_use]
pub fn process_id() -> i32 {
    let pid = call(number::GETPID, [0; 5]);
    pid.map_or(0, |pid| i32::try_from(pid).unwrap_or(0))
}

/// This thread, in its own pid namespace.
#[must_use]
pub fn thread_id() -> i32 {
    let tid = call(number::GETTID, [0; 5]);
    tid.map_or(0, |tid| i32::try_from(tid).unwrap_or(0))
}

/// Nanoseconds of the monotonic clock.
#[must_use]
pub fn now() -> u64 {
    const MONOTONIC: usize = 1;
    let mut time = [0_u64; 2];
    // SAFETY: Linux writes two words (`struct timespec`), which live through the call.
    let _ = unsafe {
        raw(
            number::CLOCK_GETTIME,
            [MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0],
        )
    };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}

/// Enters the namespace behind a descriptor, of the kind that `flag` names, or those of the process
/// behind it that `flag` names.
pub fn enter(namespace: i32, flag: usize) -> Result<usize> {
    call(number::SETNS, [wide(namespace), flag, 0, 0, 0])
}

/// Copies the process, as `fork` does; the copy's parent is the caller's own parent.
///
/// # Safety
/// The caller has one thread. What it shares with others must bear that the copy goes on from here.
pub unsafe fn copy_as_sibling() -> Result<usize> {
    const PARENT: usize = 0x8000;
    // SAFETY: without a stack the copy goes on with a copy of this one; no pointer is passed.
    checked(unsafe { raw(number::CLONE, [PARENT | number::SIGCHLD, 0, 0, 0, 0]) })
}

/// Writes to a descriptor.
pub fn write(descriptor: i32, bytes: &[u8]) -> Result<usize> {
    let at = bytes.as_ptr() as usize;
    // SAFETY: Linux reads as many bytes as the slice has.
    checked(unsafe { raw(number::WRITE, [wide(descriptor), at, bytes.len(), 0, 0]) })
}

/// Opens a file for reading and writing.
pub fn open(path: &CStr) -> Result<i32> {
    const HERE: isize = -100;
    const READ_WRITE: usize = 2;
    let at = path.as_ptr() as usize;
    // SAFETY: Linux reads the path up to the zero byte that ends it.
    let opened = unsafe { raw(number::OPENAT, [HERE.cast_unsigned(), at, READ_WRITE, 0, 0]) };
    checked(opened).map(|number| i32::try_from(number).unwrap_or(-1))
}

/// Closes a descriptor. The caller has it from Linux, as the only one who knows its number.
pub fn close(descriptor: i32) {
    let _ = call(number::CLOSE, [wide(descriptor), 0, 0, 0, 0]);
}

/// Gives what is behind a descriptor another number too, closed on exec or not.
pub fn duplicate(from: i32, to: i32, close_on_exec: bool) -> Result<usize> {
    const CLOEXEC: usize = 0o2_000_000;
    let flags = if close_on_exec { CLOEXEC } else { 0 };
    call(number::DUP3, [wide(from), wide(to), flags, 0, 0])
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) -> Result<usize> {
    let last = u32::MAX as usize;
    call(number::CLOSE_RANGE, [first as usize, last, 0, 0, 0])
}

/// Enters a directory.
pub fn change_directory(path: &CStr) -> Result<usize> {
    let at = path.as_ptr() as usize;
    // SAFETY: Linux reads the path up to the zero byte that ends it.
    checked(unsafe { raw(number::CHDIR, [at, 0, 0, 0, 0]) })
}

/// Sets the file mode mask.
pub fn set_mask(mask: u32) {
    let _ = call(number::UMASK, [mask as usize, 0, 0, 0, 0]);
}

/// Makes a session and a process group.
pub fn new_session() -> Result<usize> {
    call(number::SETSID, [0; 5])
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<usize> {
    let at = groups.as_ptr() as usize;
    // SAFETY: Linux reads as many words as the slice has.
    checked(unsafe { raw(number::SETGROUPS, [groups.len(), at, 0, 0, 0]) })
}

/// Sets the real, effective and saved group id.
pub fn set_group(gid: u32) -> Result<usize> {
    let gid = gid as usize;
    call(number::SETRESGID, [gid, gid, gid, 0, 0])
}

/// Sets the real, effective and saved user id.
pub fn set_user(uid: u32) -> Result<usize> {
    let uid = uid as usize;
    call(number::SETRESUID, [uid, uid, uid, 0, 0])
}

/// Takes a capability out of the bounding set.
pub fn drop_bounding(capability: usize) -> Result<usize> {
    const DROP: usize = 24;
    call(number::PRCTL, [DROP, capability, 0, 0, 0])
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<usize> {
    const AMBIENT: usize = 47;
    const CLEAR_ALL: usize = 4;
    call(number::PRCTL, [AMBIENT, CLEAR_ALL, 0, 0, 0])
}

/// Sets the effective and permitted capabilities; the inheritable set becomes empty.
pub fn set_capabilities(kept: u64) -> Result<usize> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let (low, high) = ((kept & 0xFFFF_FFFF) as u32, (kept >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    let places = [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0];
    // SAFETY: Linux reads the header's two words and, by its version, two times three more.
    checked(unsafe { raw(number::CAPSET, places) })
}

/// Whether others of the same user may trace this process and read its memory.
pub fn set_dumpable(dumpable: bool) -> Result<usize> {
    const DUMPABLE: usize = 4;
    call(number::PRCTL, [DUMPABLE, usize::from(dumpable), 0, 0, 0])
}

/// Whether the process has more than one thread, as far as Linux says: it refuses then to part a
/// thread from its group, and else has nothing to do (unshare(2)).
#[must_use]
pub fn has_threads() -> bool {
    const THREAD: usize = 0x10000;
    call(number::UNSHARE, [THREAD, 0, 0, 0, 0]) == Err(Errno(number::EINVAL))
}

/// Where Linux clears this thread's id when it ends; `None` when this Linux does not tell.
#[must_use]
pub fn id_address() -> Option<usize> {
    const GET_TID_ADDRESS: usize = 40;
    let mut address = 0_usize;
    let place = (&raw mut address) as usize;
    // SAFETY: Linux writes one pointer, which lives through the call.
    let result = unsafe { raw(number::PRCTL, [GET_TID_ADDRESS, place, 0, 0, 0]) };
    checked(result)
        .ok()
        .and(Some(address).filter(|at| *at != 0))
}

/// Says where Linux clears this thread's id when it ends.
///
/// # Safety
/// The address is that of a thread's id in this process's memory, for as long as the thread lives.
pub unsafe fn set_id_address(address: usize) {
    // SAFETY: by this function's condition.
    let _ = unsafe { raw(number::SET_TID_ADDRESS, [address, 0, 0, 0, 0]) };
}

/// The head of the list of locks that Linux releases when this thread ends, and its length.
#[must_use]
pub fn robust_list() -> Option<(usize, usize)> {
    let (mut head, mut length) = (0_usize, 0_usize);
    let places = [
        0,
        (&raw mut head) as usize,
        (&raw mut length) as usize,
        0,
        0,
    ];
    // SAFETY: Linux writes a pointer and a length, which live through the call.
    let result = unsafe { raw(number::GET_ROBUST_LIST, places) };
    checked(result).ok()?;
    (head != 0).then_some((head, length))
}

/// Says which locks Linux releases when this thread ends.
///
/// # Safety
/// The head is that of a list of this thread's, for as long as it lives.
pub unsafe fn set_robust_list(head: usize, length: usize) {
    // SAFETY: by this function's condition.
    let _ = unsafe { raw(number::SET_ROBUST_LIST, [head, length, 0, 0, 0]) };
}

/// Registers, or takes back, the place where Linux tells this thread its processor.
///
/// # Safety
/// There are `length` bytes at `area`, aligned to 32, for as long as the thread lives.
pub unsafe fn restartable(area: usize, length: usize, register: bool) -> Result<usize> {
    let flags = usize::from(!register);
    // SAFETY: by this function's condition.
    let result = unsafe {
        raw(
            number::RSEQ,
            [area, length, flags, number::RSEQ_SIGNATURE, 0],
        )
    };
    checked(result)
}

/// What a signal does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// What Linux does with it.
    Default,
    /// Nothing. Children that end are not waited for then, if it is `SIGCHLD`.
    Ignore,
}

/// Sets what a signal does.
pub fn set_signal(signal: usize, disposition: Disposition) -> Result<usize> {
    let handler = usize::from(disposition == Disposition::Ignore);
    // Linux's own `struct sigaction`: a handler, flags, a restorer where there is one, a mask.
    let action = [handler, 0, 0, 0];
    let places = [signal, action.as_ptr() as usize, 0, size_of::<u64>(), 0];
    // SAFETY: Linux reads the structure and writes nothing.
    checked(unsafe { raw(number::RT_SIGACTION, places) })
}

/// Blocks exactly the signals of `mask`: bit n-1 is signal n.
pub fn block(mask: u64) -> Result<usize> {
    const SET: usize = 2;
    let at = (&raw const mask) as usize;
    let places = [SET, at, 0, size_of::<u64>(), 0];
    // SAFETY: Linux reads eight bytes, as the last argument says.
    checked(unsafe { raw(number::RT_SIGPROCMASK, places) })
}

/// Makes this thread an ordinary one with an ordinary priority.
pub fn schedule_ordinarily() -> Result<usize> {
    const OTHER: usize = 0;
    let priority = 0_i32;
    let at = (&raw const priority) as usize;
    // SAFETY: Linux reads one number (`struct sched_param`).
    checked(unsafe { raw(number::SCHED_SETSCHEDULER, [0, OTHER, at, 0, 0]) })?;
    call(number::SETPRIORITY, [0; 5])
}

/// The soft and the hard limit of a resource.
pub fn limit(resource: u32) -> Result<[u64; 2]> {
    let mut limit = [0_u64; 2];
    let places = [0, resource as usize, 0, limit.as_mut_ptr() as usize, 0];
    // SAFETY: Linux writes two words (`struct rlimit64`).
    checked(unsafe { raw(number::PRLIMIT64, places) })?;
    Ok(limit)
}

/// Sets the soft and the hard limit of a resource.
pub fn set_limit(resource: u32, limit: [u64; 2]) -> Result<usize> {
    let places = [0, resource as usize, limit.as_ptr() as usize, 0, 0];
    // SAFETY: Linux reads two words (`struct rlimit64`).
    checked(unsafe { raw(number::PRLIMIT64, places) })
}

/// A system-call filter in memory: Linux's `struct sock_fprog`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// How many instructions there are.
    pub length: u16,
    /// The first of them, each of eight bytes.
    pub first: *const u64,
}

/// Puts this thread, and whatever it starts, under a filter, for good.
///
/// # Safety
/// The filter's instructions are there.
pub unsafe fn filter(filter: &Filter) -> Result<usize> {
    const SET_MODE_FILTER: usize = 1;
    let at = core::ptr::from_ref(filter) as usize;
    // SAFETY: Linux reads the structure and, by this function's condition, the instructions.
    checked(unsafe { raw(number::SECCOMP, [SET_MODE_FILTER, 0, at, 0, 0]) })
}

/// A part of a message: Linux's `struct iovec`.
#[repr(C)]
#[derive(Debug)]
pub struct Part {
    first: *mut u8,
    length: usize,
}

/// Linux's `struct msghdr`.
#[repr(C)]
struct Header {
    name: usize,
    name_length: u32,
    parts: *mut Part,
    count: usize,
    control: *mut u64,
    control_length: usize,
    flags: i32,
}

/// What was received.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// How many bytes of data.
    pub bytes: usize,
    /// How many bytes of control messages.
    pub control: usize,
    /// Whether some of either was cut off.
    pub cut: bool,
}

/// Waits for a packet and takes it; descriptors are closed on exec.
pub fn receive(socket: i32, bytes: &mut [u8], control: &mut [u64]) -> Result<Packet> {
    const CLOEXEC: usize = 0x4000_0000;
    const CUT: i32 = 0x8 | 0x20;
    let mut part = Part {
        first: bytes.as_mut_ptr(),
        length: bytes.len(),
    };
    let mut header = Header {
        name: 0,
        name_length: 0,
        parts: &raw mut part,
        count: 1,
        control: control.as_mut_ptr(),
        control_length: size_of_val(control),
        flags: 0,
    };
    let at = (&raw mut header) as usize;
    // SAFETY: Linux writes into the structure, and into both slices as far as they go.
    let result = unsafe { raw(number::RECVMSG, [wide(socket), at, CLOEXEC, 0, 0]) };
    let bytes = checked(result)?;
    Ok(Packet {
        bytes,
        control: header.control_length,
        cut: header.flags & CUT != 0,
    })
}

/// Sends a packet, never waiting and without a signal when nobody listens any more.
pub fn send(socket: i32, bytes: &[u8], control: &mut [u64]) -> Result<usize> {
    const DO_NOT_WAIT: usize = 0x40;
    const NO_SIGNAL: usize = 0x4000;
    let mut part = Part {
        first: bytes.as_ptr().cast_mut(),
        length: bytes.len(),
    };
    let mut header = Header {
        name: 0,
        name_length: 0,
        parts: &raw mut part,
        count: 1,
        control: control.as_mut_ptr(),
        control_length: size_of_val(control),
        flags: 0,
    };
    let at = (&raw mut header) as usize;
    let places = [wide(socket), at, DO_NOT_WAIT | NO_SIGNAL, 0, 0];
    // SAFETY: Linux reads the structure and what it names, and writes to neither slice.
    checked(unsafe { raw(number::SENDMSG, places) })
}
