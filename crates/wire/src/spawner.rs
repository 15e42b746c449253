//! What the engine and its spawner say to each other.
//!
//! One message is one packet of JSON on a `SOCK_SEQPACKET` socket, at most [`MAX_PACKET`] bytes;
//! descriptors travel beside it in the order that the message's documentation gives.
//! The engine speaks [`Request`], the spawner answers with [`Event`]s, in any order and not one
//! for one. A slot's number names it in both directions.

mod event;
mod zygote;

pub use event::{Cause, Event, Failure, Metrics, Refusal, Usage};
pub use zygote::{
    Join, MAX_FILES, ZYGOTE_CACHES, ZYGOTE_HOME, ZYGOTE_PROGRAM, ZYGOTES, Zygote, pack, unpack,
};

use serde::{Deserialize, Serialize};

/// Raised whenever a message changes its meaning; the lower one of the two sides counts.
/// A field that an older side may ignore does not raise it.
pub const GENERATION: u32 = 4;

/// The first generation in which a spawner can outlive its engine. An engine takes over spawners
/// of this one and all later ones that it knows; the lower one of the two sides counts.
pub const LASTING: u32 = 3;

/// The longest packet in bytes. Linux sends no larger one with default socket buffers
/// (`net.core.wmem_default`, 212,992 bytes).
pub const MAX_PACKET: usize = 64 * 1024;

/// The longest [`Request::Note`] in bytes.
pub const MAX_NOTE: usize = 8 * 1024;

/// Where the spawner sees the mount of [`Init::storage`].
pub const STORAGE: &str = "/storage";

/// The most descriptors that go with one packet: half of Linux's own limit of 253
/// (`SCM_MAX_FD` in the Linux sources).
pub const MAX_DESCRIPTORS: usize = 120;

/// The program and the settings of a spawner, its first packet.
///
/// Descriptor 0: the agent's program, readable and executable. Descriptors 1 and 2: the two files
/// of the spawner's journal, empty and opened to append. With `storage` a mount that is attached
/// nowhere follows. With `lasting` a bound packet socket follows, at which later engines connect,
/// and then the locks by which the engine is known to live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// The engine's [`GENERATION`].
    pub generation: u32,
    /// Host directories whose contents sandboxes are built from, as absolute paths.
    /// Trees in [`Create::layers`] must lie below one of them.
    pub roots: Vec<String>,
    /// A directory of the host that the spawner may mount over in its own mount namespace.
    pub scratch: String,
    /// The name of the cgroup below which one is made for each slot.
    pub cgroup: String,
    /// Which ids sandboxes have.
    pub ids: Ids,
    /// The subnet of sandboxes with internet, as `a.b.c.d/len`.
    pub subnet: String,
    /// What all sandboxes of the machine may use together.
    pub ceiling: Ceiling,
    /// Whether slots get a group that limits the bandwidth of disks.
    pub limit_io: bool,
    /// Whether slots get a group by which processors are assigned to them.
    #[serde(default)]
    pub assign_processors: bool,
    /// Whether a mount comes along that is to be seen as [`STORAGE`].
    #[serde(default)]
    pub storage: bool,
    /// Whether the spawner and its sandboxes go on when the engine is gone.
    #[serde(default)]
    pub lasting: bool,
}

/// What all sandboxes of the machine may use together: the limits of the group above theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Bytes of memory; 0: no limit.
    pub memory: u64,
    /// Processes and threads; 0: no limit.
    pub pids: u64,
    /// Thousandths of a CPU; 0: no limit.
    pub cpu_millis: u32,
    /// Their share when the machine is busy, 1 to 10,000; other groups have 100 by default.
    pub cpu_weight: u32,
}

/// Which ids sandboxes have: what the engine's user may give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// The host's root: each slot has a range of its own.
    Machine {
        /// The first host id of slot 0 (see `docs/architecture.md`, "Slots").
        base: u32,
    },
    /// A user in a user namespace with the caller as 0 and subordinate ids from 1 to 65535. All
    /// sandboxes have these.
    Range,
    /// A user in a user namespace with the caller as 0 and nobody else.
    One,
}

/// What a slot reaches over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Only its own loopback.
    None,
    /// The internet through address translation.
    Internet,
}

/// How far a create goes before it waits for [`Request::Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopAt {
    /// Namespaces and the tree are ready, the agent is not started.
    Prepared,
    /// The agent accepts connections.
    Running,
}

/// Cgroup limits of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimits {
    /// Thousandths of a CPU.
    pub cpu_millis: u32,
    /// Its share when sandboxes compete, 1 to 10,000.
    pub cpu_weight: u32,
    /// The most bytes of memory; swap is never allowed on top.
    pub memory: u64,
    /// Bytes of memory that are taken from others first; 0 or [`Self::memory`]: nothing is.
    pub memory_reserved: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Bandwidth of disks.
    pub io: Vec<IoLimit>,
}

/// Bandwidth of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoLimit {
    /// The whole disk, as `major:minor`.
    pub device: String,
    /// Bytes per second that are read; 0: no limit.
    pub read: u64,
    /// Bytes per second that are written; 0: no limit.
    pub write: u64,
}

/// One read-only tree and where it shows in the sandbox, below a writable layer of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The tree on the host, an absolute path.
    pub tree: String,
    /// Trees of the host that show through it, the uppermost first, in the form of overlayfs. They
    /// lie where `tree` may lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<String>,
    /// Where it shows in the sandbox: `/`, or a directory of the tree at `/`.
    pub at: String,
    /// Whether it shows as it is, without a writable layer.
    #[serde(default)]
    pub read_only: bool,
}

/// Where a sandbox's writes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// A tmpfs that counts as the sandbox's memory.
    Memory {
        /// Its size in bytes.
        size: u64,
        /// The most files and directories.
        inodes: u64,
    },
    /// An empty directory below [`STORAGE`], or of the host below one of [`Init::roots`].
    /// Its contents are thrown away with the sandbox.
    Directory {
        /// Its absolute path.
        path: String,
    },
}

/// A mount of the host in the sandbox. Its tree comes as a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestMount {
    /// Where it shows: an absolute path without `..`.
    pub at: String,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Whether it is a directory (else a file).
    pub directory: bool,
    /// Whether ids are shifted so that owners look the same on both sides.
    pub shift_ids: bool,
}

/// A sandbox to make.
///
/// Descriptors: the agent's listening socket, then one tree per entry of `mounts`, then one that is
/// only kept open until everything is given back, with `keeps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// The slot that it takes; made on the way when it was not prepared.
    pub slot: u32,
    /// What the slot reaches, in case it has to be made.
    pub network: Network,
    /// The host uid that creates, and so owns, its user namespace.
    pub owner: u32,
    /// Whether copies of that user's zygote are to join it. Its slot must not have been made ahead of
    /// time then: its network namespace has to belong to that user too.
    #[serde(default)]
    pub joinable: bool,
    /// Its trees: the first one at `/`.
    pub layers: Vec<Layer>,
    /// Where its writes go.
    pub storage: Storage,
    /// The size of `/dev/shm` in bytes, where it is not a part of an in-memory storage.
    pub shm: u64,
    /// Directories and files of the host in it.
    pub mounts: Vec<GuestMount>,
    /// What it may use.
    pub limits: CgroupLimits,
    /// The most files that one process may have open.
    pub open_files: u32,
    /// How far to go.
    pub stop_at: StopAt,
    /// Whether a descriptor comes along that is to be kept open: the lock on the template.
    #[serde(default)]
    pub keeps: bool,
}

/// What becomes of a sandbox at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is ended.
    End,
    /// It is frozen, however long that takes; where nothing freezes, it is ended.
    Pause,
}

/// When the spawner acts by itself, whether an engine is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// In milliseconds of the clock that counts since boot, sleep included (`CLOCK_BOOTTIME`).
    pub at_ms: u64,
    /// What it does.
    pub then: Then,
}

/// What the engine asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Settings; the first packet of a spawner, once.
    Init(Init),
    /// Take over what runs; the first packet of an engine that connects to a spawner that lasts, after
    /// that has said [`Event::Hello`] and not [`Event::Busy`]. Answers: [`Event::Adopted`] and one
    /// [`Event::Held`] for each sandbox.
    Adopt {
        /// The engine's [`GENERATION`].
        generation: u32,
    },
    /// The engine ends, and the sandboxes that it wrote a note on go on. The spawner closes the
    /// channel.
    Leave,
    /// End everything, and the spawner. It closes the channel.
    End,
    /// Make a slot's network namespace and cgroups ahead of time. Answer: [`Event::SlotReady`].
    Slot {
        /// Its number.
        slot: u32,
        /// What it reaches.
        network: Network,
    },
    /// Make a sandbox. Answers: [`Event::Prepared`], [`Event::Ready`] or [`Event::Failed`].
    Create(Box<Create>),
    /// Let a prepared sandbox run. Answer: [`Event::Ready`] or [`Event::Failed`].
    Start {
        /// Its slot.
        slot: u32,
        /// What it may use.
        limits: CgroupLimits,
    },
    /// Change the limits of a running sandbox. Answer: [`Event::Limited`].
    Limit {
        /// Its slot.
        slot: u32,
        /// What it may use.
        limits: CgroupLimits,
    },
    /// Kill every process of a running sandbox but its first. Answer: [`Event::Killed`].
    Kill {
        /// Its slot.
        slot: u32,
    },
    /// Tell what a running sandbox has used. Answer: [`Event::Used`].
    Usage {
        /// Its slot.
        slot: u32,
    },
    /// Tell what a running sandbox uses now. Answer: [`Event::Measured`].
    Measure {
        /// Its slot.
        slot: u32,
    },
    /// Stop every process of a running sandbox until [`Request::Thaw`]. Answer: [`Event::Frozen`]
    /// once all of them stand still, or [`Event::Refused`].
    Freeze {
        /// Its slot.
        slot: u32,
        /// How many milliseconds that may take; then they go on.
        within_ms: u64,
    },
    /// Let a frozen sandbox go on. Answer: [`Event::Thawed`] or [`Event::Refused`].
    Thaw {
        /// Its slot.
        slot: u32,
    },
    /// Do something at a time, in place of what was set before. Answer: [`Event::DeadlineSet`] or
    /// [`Event::Refused`].
    Deadline {
        /// Its slot.
        slot: u32,
        /// When, and what; `None`: nothing.
        deadline: Option<Deadline>,
    },
    /// Write down what a sandbox is, for an engine that comes after this one. No answer, or
    /// [`Event::Noted`].
    Note {
        /// Its slot.
        slot: u32,
        /// Whether an answer is wanted.
        #[serde(default)]
        answer: bool,
        /// Anything; what is longer than [`MAX_NOTE`] bytes is not written down.
        text: String,
    },
    /// Start a zygote in a slot. Answer: [`Event::ZygoteReady`] or [`Event::Failed`].
    Zygote(Box<Zygote>),
    /// Make a copy of a zygote a process of a running sandbox; one at a time. Answer:
    /// [`Event::Joined`] or [`Event::NotJoined`], whatever else is asked of the slot meanwhile.
    Join(Box<Join>),
    /// End a sandbox, or give a slot back. Answer: [`Event::Gone`].
    Destroy {
        /// Its slot.
        slot: u32,
    },
}
