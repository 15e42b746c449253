//! What the spawner tells.

use super::Deadline;
use serde::{Deserialize, Serialize};

/// What a sandbox has used, as its cgroups count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in microseconds.
    pub cpu_us: u64,
    /// The most memory at once, in bytes; 0 where Linux does not tell.
    pub peak_memory: u64,
    /// Processes that Linux killed for want of memory.
    pub oom_kills: u64,
}

/// What a sandbox uses now, as its cgroups count it; `None` where they do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Processor time so far in microseconds.
    pub cpu_us: Option<u64>,
    /// Memory in bytes, page cache and files in memory included.
    pub memory: Option<u64>,
    /// Page cache in bytes that Linux takes back when it needs it.
    pub cache: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Why nothing was changed about a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It does not run.
    NotRunning,
    /// It is frozen already, or about to be.
    Frozen,
    /// It is not frozen.
    NotFrozen,
    /// Nothing here can freeze it.
    NoFreezer,
    /// It did not stand still in time; it goes on.
    TooSlow,
    /// The zygote is not there, or did not answer in time and was ended.
    NoZygote,
    /// Linux refused; it goes on.
    Linux(Failure),
}

/// Why a sandbox ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The engine asked for it.
    #[default]
    Asked,
    /// Its making failed.
    Failed,
    /// Its first process ended without having been asked to.
    Alone,
    /// Its deadline came.
    Expired,
}

/// A step that failed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, and on what.
    pub step: String,
    /// Linux's error number; 0 when the failure is not a system call's.
    pub errno: i32,
}

/// What the spawner tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The spawner accepts requests.
    Hello {
        /// The spawner's [`GENERATION`](super::GENERATION).
        generation: u32,
        /// Limits that nothing holds sandboxes to here, by their names: `cpu`, `memory`, `pids`.
        #[serde(default)]
        not_enforced: Vec<String>,
    },
    /// The spawner cannot work at all; it ends after this.
    Unable(Failure),
    /// Another engine works with this spawner, which closes the channel.
    Busy,
    /// The spawner works for this engine now. Descriptors: the locks of
    /// [`Init`](super::Init).
    Adopted {
        /// The lower one of both sides' [`GENERATION`](super::GENERATION).
        generation: u32,
        /// As in [`Event::Hello`].
        #[serde(default)]
        not_enforced: Vec<String>,
        /// How many [`Event::Held`] follow.
        held: u32,
    },
    /// A sandbox that runs. Descriptors: UDP and TCP socket of its resolver, where it has one.
    Held {
        /// Its slot.
        slot: u32,
        /// The host's process id of its PID 1.
        pid: u32,
        /// What the engine before wrote down.
        note: String,
        /// Whether it stands still.
        frozen: bool,
        /// When the spawner acts.
        deadline: Option<Deadline>,
    },
    /// A slot's network namespace and cgroups are ready.
    ///
    /// Descriptors for [`Network::Internet`](super::Network::Internet): UDP and TCP socket of its resolver.
    SlotReady {
        /// Its number.
        slot: u32,
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// A sandbox waits for [`Request::Start`](super::Request::Start). Descriptors as for [`Event::SlotReady`] when
    /// the slot was made on the way.
    Prepared {
        /// Its slot.
        slot: u32,
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// A sandbox's agent accepts connections. Descriptors as for [`Event::Prepared`].
    Ready {
        /// Its slot.
        slot: u32,
        /// The host's process id of its PID 1.
        pid: u32,
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// A slot or sandbox could not be made, or a limit not set. [`Event::Gone`] follows when
    /// everything is given back.
    Failed {
        /// Its slot.
        slot: u32,
        /// What failed.
        failure: Failure,
    },
    /// The limits of a running sandbox were changed.
    Limited {
        /// Its slot.
        slot: u32,
    },
    /// The processes of a sandbox, but for its first, were killed.
    Killed {
        /// Its slot.
        slot: u32,
    },
    /// What a running sandbox has used.
    Used {
        /// Its slot.
        slot: u32,
        /// The figures.
        usage: Usage,
    },
    /// What a running sandbox uses now.
    Measured {
        /// Its slot.
        slot: u32,
        /// The figures.
        metrics: Metrics,
    },
    /// Every process of a sandbox stands still.
    Frozen {
        /// Its slot.
        slot: u32,
    },
    /// A sandbox goes on.
    Thawed {
        /// Its slot.
        slot: u32,
    },
    /// A sandbox stands still because its deadline came. Never an answer.
    Paused {
        /// Its slot.
        slot: u32,
    },
    /// A deadline was set.
    DeadlineSet {
        /// Its slot.
        slot: u32,
    },
    /// A note was written down.
    Noted {
        /// Its slot.
        slot: u32,
    },
    /// What was asked for was not done; the sandbox is as it was.
    Refused {
        /// Its slot.
        slot: u32,
        /// Why.
        why: Refusal,
    },
    /// A zygote takes orders.
    ZygoteReady {
        /// Its slot.
        slot: u32,
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// A zygote's copy is a process of the sandbox; what it says comes on its control socket.
    Joined {
        /// The sandbox's slot.
        slot: u32,
        /// Its process id inside the sandbox.
        pid: u32,
        /// Steps and their lengths in microseconds.
        phases: Vec<(String, u64)>,
    },
    /// No copy joined; the sandbox is as it was.
    NotJoined {
        /// The sandbox's slot.
        slot: u32,
        /// Why.
        why: Refusal,
    },
    /// Everything of a slot is given back; its number may be used again.
    Gone {
        /// Its slot.
        slot: u32,
        /// Whether a sandbox ran in it.
        ran: bool,
        /// Why.
        #[serde(default)]
        cause: Cause,
        /// The exit code of PID 1, when it exited.
        #[serde(default)]
        code: Option<i32>,
        /// The signal that ended PID 1, 0 if none did.
        signal: i32,
        /// What it had used.
        usage: Usage,
        /// What could not be given back.
        problems: Vec<Failure>,
    },
}
