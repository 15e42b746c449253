//! The engine's half of the native driver: it speaks to the spawner.
//!
//! One task owns the socket. Each slot has at most one request on its way; its answer goes to
//! whoever waits for it, and the slot's end to everybody who asks. What a slot holds of the
//! engine (its lease, its directories) is dropped when the spawner says that it is gone, not
//! before: a number is free again only when nothing of it is left.

mod attach;
mod gone;
mod life;
mod link;
mod pause;
mod process;
mod slot;
mod zygote;

pub use attach::{AttachError, Attached, Held};
pub use gone::Gone;
pub use pause::PauseError;
pub use process::{Process, zygote_files};
pub use slot::{Slot, wait_gone};
pub use zygote::{JoinError, Joined, Joiner, Phases};

use super::channel::{self, ChannelError};
use super::journal::FILES;
use crate::programs;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Failure, GENERATION, Init, Request};
use std::collections::HashMap;
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

    /// The engine leaves while the slot is in use: everything stays as it is for the next one.
    fn leave(self: Box<Self>);
}

struct Entry {
    waiting: Option<oneshot::Sender<Reply>>,
    joining: Option<oneshot::Sender<Reply>>,
    gone: watch::Sender<Option<Gone>>,
    paused: watch::Sender<bool>,
    kept: Box<dyn Kept>,
}

#[derive(Default)]
struct Slots {
    entries: HashMap<u32, Entry>,
    closed: bool,
    /// The engine leaves, and what is in use goes on.
    left: bool,
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

    /// Waits until the channel is closed.
    async fn wait_until_parted(&self) {
        let mut lost = self.lost.subscribe();
        // The sender lives as long as this.
        let _ = lost.wait_for(|lost| *lost).await;
    }
}

/// The native driver.
pub struct NativeDriver {
    shared: Arc<Shared>,
    process: Mutex<Option<Process>>,
    lasting: bool,
    task: tokio::task::JoinHandle<()>,
    not_enforced: Vec<String>,
}

impl NativeDriver {
    /// Starts a spawner. Must be called within a tokio runtime.
    ///
    /// `journal`: two empty files, opened to append, that nobody else writes. `storage`: a mount
    /// that is attached nowhere, if `init` speaks of one. `lasting`: the bound socket and the locks
    /// that `init` speaks of.
    ///
    /// # Errors
    /// [`DriverError::Unable`] tells what the host lacks.
    pub async fn start(
        init: Init,
        journal: [OwnedFd; FILES],
        storage: Option<BorrowedFd<'_>>,
        lasting: Vec<OwnedFd>,
    ) -> Result<Self, DriverError> {
        let (mine, spawners) = channel::pair().map_err(spawn_error)?;
        let lasts = init.lasting;
        let process = process::start(spawners, lasts)?;
        let agent =
            process::sealed_program("soulbox-agent", programs::AGENT).map_err(spawn_error)?;
        let own = std::iter::once(&agent).chain(&journal).map(AsFd::as_fd);
        let own = own.chain(storage).chain(lasting.iter().map(AsFd::as_fd));
        let descriptors: Vec<_> = own.collect();
        channel::send(&mine, &Request::Init(init), &descriptors)
            .map_err(|_| DriverError::SpawnerGone)?;
        let socket = link::socket(mine)?;
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
        Ok(Self::serving(
            socket,
            Process::Child(process),
            not_enforced,
            lasts,
        ))
    }

    /// Begins to carry requests and events.
    fn serving(
        socket: UnixStream,
        process: Process,
        not_enforced: Vec<String>,
        lasting: bool,
    ) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            requests,
            empty: tokio::sync::Notify::new(),
            lost: watch::Sender::new(false),
        });
        let task = tokio::spawn(link::serve(socket, Arc::clone(&shared), incoming));
        Self {
            shared,
            process: Mutex::new(Some(process)),
            lasting,
            task,
            not_enforced,
        }
    }

    /// The limits that nothing holds sandboxes to on this host, or for this user, by their names:
    /// `cpu`, `memory`, `pids`.
    pub fn not_enforced(&self) -> &[String] {
        &self.not_enforced
    }

    /// The spawner's process id, by which its leases are known.
    pub fn spawner_pid(&self) -> Option<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Process::id)
    }

    /// Takes a slot's number into use; `kept` is given back with it.
    ///
    /// # Errors
    /// [`DriverError::SpawnerGone`].
    pub fn open(&self, slot: u32, kept: Box<dyn Kept>) -> Result<Slot, DriverError> {
        self.open_held(slot, kept, false)
    }

    /// The same for a slot that the spawner held before this engine came; `paused`: whether the
    /// sandbox in it stands still.
    ///
    /// # Errors
    /// [`DriverError::SpawnerGone`].
    pub fn open_held(
        &self,
        slot: u32,
        kept: Box<dyn Kept>,
        paused: bool,
    ) -> Result<Slot, DriverError> {
        let (paused, stands_still) = watch::channel(paused);
        let (gone, watch) = watch::channel(None);
        let mut slots = self.shared.slots();
        if slots.closed {
            let left = slots.left;
            drop(slots);
            // Of one that it held, nobody knows any more.
            if left {
                kept.leave();
            } else {
                kept.give_back(true);
            }
            return Err(DriverError::SpawnerGone);
        }
        slots.entries.insert(
            slot,
            Entry {
                waiting: None,
                joining: None,
                gone,
                paused,
                kept,
            },
        );
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            slot,
            gone: watch,
            paused: stands_still,
        })
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
