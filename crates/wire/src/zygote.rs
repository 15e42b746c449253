//! What a zygote's broker and the zygote say to each other.
//!
//! One `SOCK_SEQPACKET` socket; each packet is one message, all numbers little-endian. The zygote's
//! first message is a [`Reply`] of the kind [`Kind::Ready`]. Then the broker sends requests, each
//! with descriptors beside it, and the zygote works them off in their order:
//!
//! | Request, from byte | |
//! |---|---|
//! | 0, u32 | [`VERSION`] |
//! | 4, u32 | file mode mask |
//! | 8, u64 | the request's id, which its reply repeats |
//! | 16, u32; 20, u32 | user id and group id in the sandbox |
//! | 24, u64 | capabilities that stay: permitted and effective (bit n is capability n) |
//! | 32, u64 | capabilities of the bounding set |
//! | 40, u16; 42, u16; 44, u16; 46, u16 | how many groups, limits, cgroup entrances; bytes of the path |
//! | 48, u32 × 16 | supplementary groups; unused ones are 0 |
//! | 112, (u64, u64, u64) × 8 | resource limits: `RLIMIT_*` number, soft, hard; unused ones are 0 |
//! | 304 | the working directory, without a zero byte |
//!
//! Descriptors, in this order: the sandbox's first process (`pidfd_open`), by which the zygote enters the
//! user and network namespaces in one step; other namespaces ([`NAMESPACES`]), the cgroup entrances, the
//! process's control socket.
//!
//! **The network namespace** may belong to another user namespace of the zygote's user than the
//! sandbox's: then nobody in the sandbox has a say in it. Whoever is in the sandbox's user namespace
//! already could not enter it any more; by a process's descriptor Linux takes both at once, and asks
//! who the caller was before (`validate_nsset` in the Linux sources).
//!
//! | Reply, from byte | |
//! |---|---|
//! | 0, u32 | [`VERSION`] |
//! | 4, u32 | [`Kind`] |
//! | 8, u64 | the request's id |
//! | 16, i32 | ready: the zygote's process id as it sees it; joined: the new process's in its sandbox |
//! | 20, u32 | failed: the [`Step`] |
//! | 24, i32 | failed: Linux's error number |
//! | 28, u32 | 0 |
//! | 32, u64 × 8 | nanoseconds from the request's arrival to the end of each [`Lap`] |
//!
//! The process that joined sends its own reply, in the sandbox already, so a broker that set
//! `SO_PASSCRED` has its process id too, as Linux knows it. A process that is killed while it joins
//! sends nothing: its control socket closes. Whoever waits for a reply waits for that too.
//!
//! The file uses `core` alone: the zygote's own part is compiled without a standard library and
//! takes it in as a module.

#[path = "zygote/reply.rs"]
mod reply;
#[path = "zygote/request.rs"]
mod request;

pub use reply::{Kind, Lap, Reply, Step};
pub use request::{Limit, Received, Request, RequestError};

/// Of these messages. Both sides come from one build; another number means that they do not.
pub const VERSION: u32 = 1;

/// Supplementary groups of a process, at most.
pub const MAX_GROUPS: usize = 16;

/// Resource limits in a request, at most.
pub const MAX_LIMITS: usize = 8;

/// Cgroup entrances in a request, at most.
pub const MAX_ENTRANCES: usize = 16;

/// Bytes of a working directory, at most: `PATH_MAX` less the zero byte.
pub const MAX_DIRECTORY: usize = 4095;

/// The namespaces of a sandbox whose descriptors come with a request, in this order, as files of
/// `/proc/PID/ns`.
pub const NAMESPACES: [&str; 5] = ["pid", "mnt", "ipc", "uts", "cgroup"];

/// Descriptors beside a request, at most.
pub const MAX_DESCRIPTORS: usize = 1 + NAMESPACES.len() + MAX_ENTRANCES + 1;

/// Bytes of a request before the working directory.
pub const REQUEST_HEAD: usize = 304;

/// Bytes of a request, at most.
pub const MAX_REQUEST: usize = REQUEST_HEAD + MAX_DIRECTORY;

/// Bytes of a reply.
pub const REPLY: usize = 32 + 8 * LAPS;

/// How many times a reply tells.
pub const LAPS: usize = 8;

fn put(space: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = space.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The bytes from `at` on; zeroes where the message ends before.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..at + N).and_then(|part| part.try_into().ok());
    found.unwrap_or([0; N])
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(bytes, at))
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}
