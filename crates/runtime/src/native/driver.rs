//! The engine's half of the native driver: it speaks to the spawner.
//!
//! One task owns the socket. Each slot has at most one request on its way; its answer goes to
//! whoever waits for it, and the slot's end to everybody who asks. What a slot holds of the
//! engine (its lease, its directories) is dropped when the spawner says that it is gone, not
//! before: a number is free again only when nothing of it is left.

mod link;
mod pause;
mod process;
mod slot;

pub use pause::PauseError;
pub use slot::{Slot, wait_gone};

use super::channel::{self, ChannelError};
use super::journal::FILES;
use crate::programs;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
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
    /// A step failed without an error of Linux.
    #[error("cannot {}", .0.step)]
    Refused(Failure),
    /// The spawner has ended, and every sandbox with it.
    #[error("the spawner was lost, and every sandbox with it; new sandboxes get a new one")]
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
        match errno_of(&failure) {
            Some(errno) => Self::Step(failure, errno),
            None => Self::Refused(failure),
        }
    }

    /// Linux's error number, when the failure is a system call's.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Unable(_, errno) | Self::Step(_, errno) => Some(*errno),
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
    /// Whether the spawner was lost before it told the end: then nothing above is known.
    pub lost: bool,
}

impl Gone {
    /// A slot whose spawner was lost.
    fn with_the_spawner() -> Self {
        Self {
            ran: false,
            signal: 9,
            usage: Usage::default(),
            problems: Vec::new(),
            lost: true,
        }
    }

    /// Whether all of it was given back, so that its number may be used again.
    fn is_clean(&self) -> bool {
        !self.lost && self.problems.is_empty()
    }
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

/// What a slot holds of the engine until it is gone.
pub trait Kept: Send {
    /// The slot is gone. `clean`: nothing of it is left, so its number may be used again; else it
    /// may not until somebody has removed the rest.
    fn give_back(self: Box<Self>, clean: bool);
}

struct Entry {
    waiting: Option<oneshot::Sender<Reply>>,
    gone: watch::Sender<Option<Gone>>,
    kept: Box<dyn Kept>,
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
    /// Becomes true when the spawner is lost.
    lost: watch::Sender<bool>,
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
    not_enforced: Vec<String>,
}

impl NativeDriver {
    /// Starts a spawner. Must be called within a tokio runtime. `storage` is the mount that `init`
    /// speaks of.
    ///
    /// # Errors
    /// [`DriverError::Unable`] tells what the host lacks.
    ///
    /// `journal`: two empty files, opened to append, that nobody else writes. `storage`: a mount
    /// that is attached nowhere.
    pub async fn start(
        init: Init,
        journal: [OwnedFd; FILES],
        storage: Option<BorrowedFd<'_>>,
    ) -> Result<Self, DriverError> {
        let (mine, spawners) = channel::pair().map_err(spawn_error)?;
        let process = process::start(spawners)?;
        let agent =
            process::sealed_program("soulbox-agent", programs::AGENT).map_err(spawn_error)?;
        let own = std::iter::once(&agent).chain(&journal).map(AsFd::as_fd);
        let descriptors: Vec<_> = own.chain(storage).collect();
        channel::send(&mine, &Request::Init(init), &descriptors)
            .map_err(|_| DriverError::SpawnerGone)?;
        let stream = std::os::unix::net::UnixStream::from(mine);
        stream.set_nonblocking(true).map_err(DriverError::Spawn)?;
        // Only its readiness is used: reads and writes keep packets and descriptors together.
        let socket = UnixStream::from_std(stream).map_err(DriverError::Spawn)?;
        let not_enforced = match link::receive(&socket).await {
            Ok((
                Event::Hello {
                    generation: GENERATION,
                    not_enforced,
                },
                _,
            )) => not_enforced,
            Ok((Event::Hello { generation, .. }, _)) => {
                return Err(DriverError::Generation(generation));
            }
            Ok((Event::Unable(failure), _)) => {
                let errno = errno_of(&failure).unwrap_or(Errno::IO);
                return Err(DriverError::Unable(failure, errno));
            }
            Ok(_) | Err(_) => return Err(DriverError::SpawnerGone),
        };
        let (requests, incoming) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            requests,
            empty: tokio::sync::Notify::new(),
            lost: watch::Sender::new(false),
        });
        let task = tokio::spawn(link::serve(socket, Arc::clone(&shared), incoming));
        Ok(Self {
            shared,
            process: Mutex::new(Some(process)),
            task,
            not_enforced,
        })
    }

    /// The limits that nothing holds sandboxes to on this host, or for this user, by their names:
    /// `cpu`, `memory`, `pids`.
    pub fn not_enforced(&self) -> &[String] {
        &self.not_enforced
    }

    /// The spawner's process id, by which its leases are known.
    pub fn spawner_pid(&self) -> Option<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Child::id)
    }

    /// Takes a slot's number into use; `kept` is given back with it.
    ///
    /// # Errors
    /// [`DriverError::SpawnerGone`].
    pub fn open(&self, slot: u32, kept: Box<dyn Kept>) -> Result<Slot, DriverError> {
        let (gone, watch) = watch::channel(None);
        let mut slots = self.shared.slots();
        if slots.closed {
            drop(slots);
            kept.give_back(true);
            return Err(DriverError::SpawnerGone);
        }
        slots.entries.insert(
            slot,
            Entry {
                waiting: None,
                gone,
                kept,
            },
        );
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            slot,
            gone: watch,
        })
    }

    /// Whether the spawner is lost.
    pub fn is_lost(&self) -> bool {
        *self.shared.lost.borrow()
    }

    /// Waits until the spawner is lost.
    pub async fn lost(&self) {
        let mut lost = self.shared.lost.subscribe();
        // The sender lives as long as this driver.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Makes sure that a lost spawner has ended, and collects it.
    pub async fn bury(&self) {
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut process) = process {
            let ended = tokio::task::spawn_blocking(move || {
                // It has closed its channel; what it still does, nobody has asked for.
                let _ = process.kill();
                process.wait()
            });
            let _ = ended.await;
        }
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
        let entries = std::mem::take(&mut self.shared.slots().entries);
        for entry in entries.into_values() {
            entry.kept.give_back(false);
        }
    }
}

/// Linux's error in a failure, if it is one of Linux's numbers (1 to 4095): no other one may be
/// made into an [`Errno`].
fn errno_of(failure: &Failure) -> Option<Errno> {
    let number = (1..4096).contains(&failure.errno);
    number.then(|| Errno::from_raw_os_error(failure.errno))
}

fn spawn_error(errno: Errno) -> DriverError {
    DriverError::Spawn(errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_an_error_of_linux_is_no_reason_to_panic() {
        for (number, errno) in [
            (0, None),
            (-1, None),
            (4096, None),
            (28, Some(Errno::NOSPC)),
        ] {
            let failure = Failure {
                step: "start the sandbox: its first process ended".to_owned(),
                errno: number,
            };
            let error = DriverError::step(failure);
            assert_eq!(error.errno(), errno);
            assert!(error.to_string().contains("its first process ended"));
        }
    }
}
