//! The engine's half of the native driver: it speaks to the spawner.
//!
//! One task owns the socket. Each slot has at most one request on its way; its answer goes to
//! whoever waits for it, and the slot's end to everybody who asks. What a slot holds of the
//! engine (its lease, its directories) is dropped when the spawner says that it is gone, not
//! before: a number is free again only when nothing of it is left.

mod link;
mod process;
mod slot;

pub use slot::{Slot, wait_gone};

use super::channel::{self, ChannelError};
use crate::programs;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Failure, GENERATION, Init, Request, Usage};
use std::collections::HashMap;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// A request to the driver that failed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The spawner's program could not be started.
    #[error("cannot start the spawner")]
    Spawn(#[source] std::io::Error),
    /// The spawner cannot work on this host.
    #[error("this host cannot run sandboxes: cannot {}; see 'soulbox doctor'", .0.step)]
    Unable(Failure, #[source] Errno),
    /// The spawner and the engine do not speak the same protocol.
    #[error("the spawner speaks generation {0} of the protocol, this engine {GENERATION}")]
    Generation(u32),
    /// A step of Linux failed.
    #[error("cannot {}", .0.step)]
    Step(Failure, #[source] Errno),
    /// The spawner has ended, and every sandbox with it.
    #[error("the spawner has ended unexpectedly, and every sandbox with it; restart the engine")]
    SpawnerGone,
    /// The sandbox has ended.
    #[error("the sandbox has ended")]
    Ended,
    /// The request does not fit a packet.
    #[error("the request is too large: fewer or shorter mounts are needed")]
    TooLarge(#[source] ChannelError),
}

impl DriverError {
    fn step(failure: Failure) -> Self {
        let errno = Errno::from_raw_os_error(failure.errno);
        Self::Step(failure, errno)
    }

    /// Linux's error number, when the failure is a system call's.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Unable(_, errno) | Self::Step(_, errno) if errno.raw_os_error() != 0 => {
                Some(*errno)
            }
            _ => None,
        }
    }
}

/// How a slot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Whether a sandbox ran in it.
    pub ran: bool,
    /// The signal that ended its PID 1, 0 if none did.
    pub signal: i32,
    /// What it had used.
    pub usage: Usage,
    /// What could not be given back.
    pub problems: Vec<Failure>,
}

/// What a slot's preparation or a sandbox's start brought.
#[derive(Debug, Default)]
pub struct Made {
    /// The host's process id of PID 1; 0 before it runs.
    pub pid: u32,
    /// Steps and their lengths in microseconds.
    pub phases: Vec<(String, u64)>,
    /// UDP and TCP socket of the slot's resolver, when it has internet and was made just now.
    pub resolver: Vec<OwnedFd>,
}

/// A reply to the one request of a slot that is on its way.
type Reply = Result<(Event, Vec<OwnedFd>), DriverError>;

/// What a slot keeps alive until it is gone.
pub type Kept = Box<dyn std::any::Any + Send>;

struct Entry {
    waiting: Option<oneshot::Sender<Reply>>,
    gone: watch::Sender<Option<Gone>>,
    _kept: Kept,
}

#[derive(Default)]
struct Slots {
    entries: HashMap<u32, Entry>,
    closed: bool,
}

struct Shared {
    slots: Mutex<Slots>,
    /// Not bounded in itself, but each slot has one request and one end in it at most.
    requests: mpsc::UnboundedSender<(Request, Vec<OwnedFd>)>,
    empty: tokio::sync::Notify,
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        // No code can panic while it holds the lock; if one did, the map is still whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The native driver.
pub struct NativeDriver {
    shared: Arc<Shared>,
    process: Mutex<Option<Child>>,
    task: tokio::task::JoinHandle<()>,
}

impl NativeDriver {
    /// Starts a spawner. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DriverError::Unable`] tells what the host lacks.
    pub async fn start(init: Init) -> Result<Self, DriverError> {
        let (mine, spawners) = channel::pair().map_err(spawn_error)?;
        let process = process::start(spawners)?;
        let agent =
            process::sealed_program("soulbox-agent", programs::AGENT).map_err(spawn_error)?;
        channel::send(&mine, &Request::Init(init), &[agent.as_fd()])
            .map_err(|_| DriverError::SpawnerGone)?;
        let stream = std::os::unix::net::UnixStream::from(mine);
        stream.set_nonblocking(true).map_err(DriverError::Spawn)?;
        // Only its readiness is used: reads and writes keep packets and descriptors together.
        let socket = UnixStream::from_std(stream).map_err(DriverError::Spawn)?;
        match link::receive(&socket).await {
            Ok((
                Event::Hello {
                    generation: GENERATION,
                },
                _,
            )) => {}
            Ok((Event::Hello { generation }, _)) => {
                return Err(DriverError::Generation(generation));
            }
            Ok((Event::Unable(failure), _)) => {
                let errno = Errno::from_raw_os_error(failure.errno);
                return Err(DriverError::Unable(failure, errno));
            }
            Ok(_) | Err(_) => return Err(DriverError::SpawnerGone),
        }
        let (requests, incoming) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            requests,
            empty: tokio::sync::Notify::new(),
        });
        let task = tokio::spawn(link::serve(socket, Arc::clone(&shared), incoming));
        Ok(Self {
            shared,
            process: Mutex::new(Some(process)),
            task,
        })
    }

    /// The spawner's process id, by which its leases are known.
    pub fn spawner_pid(&self) -> Option<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Child::id)
    }

    /// Takes a slot's number into use; `kept` is dropped when all of it is given back.
    ///
    /// # Errors
    /// [`DriverError::SpawnerGone`].
    pub fn open(&self, slot: u32, kept: Kept) -> Result<Slot, DriverError> {
        let (gone, watch) = watch::channel(None);
        let mut slots = self.shared.slots();
        if slots.closed {
            return Err(DriverError::SpawnerGone);
        }
        slots.entries.insert(
            slot,
            Entry {
                waiting: None,
                gone,
                _kept: kept,
            },
        );
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            slot,
            gone: watch,
        })
    }

    /// Ends every sandbox and the spawner, and waits until all is given back.
    pub async fn stop(&self) {
        for slot in self.shared.slots().entries.keys() {
            let _ = self
                .shared
                .requests
                .send((Request::Destroy { slot: *slot }, Vec::new()));
        }
        loop {
            let empty = self.shared.empty.notified();
            let slots = self.shared.slots().entries.len();
            if slots == 0 {
                break;
            }
            empty.await;
        }
        self.task.abort();
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut process) = process {
            // With the task the socket is closed, at which the spawner ends.
            let _ = tokio::task::spawn_blocking(move || process.wait()).await;
        }
    }
}

impl Drop for NativeDriver {
    fn drop(&mut self) {
        // The spawner ends when the socket closes; whoever wants to wait for that calls `stop`.
        self.task.abort();
    }
}

fn spawn_error(errno: Errno) -> DriverError {
    DriverError::Spawn(errno.into())
}
