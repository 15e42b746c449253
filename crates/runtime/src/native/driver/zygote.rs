//! Zygotes, and copies of them that join sandboxes.

use super::{DriverError, Shared, Slot, errno_of};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use soulbox_wire::spawner::{Event, Failure, Join, Refusal, Request, Zygote};
use std::sync::Arc;
use tokio::sync::{Mutex, oneshot};

/// A copy of a zygote that did not join a sandbox; the sandbox is as it was.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The zygote has ended, or hung and was ended.
    #[error("the zygote is gone")]
    NoZygote,
    /// The sandbox stands still.
    #[error("the sandbox is paused")]
    Paused,
    /// A step of the way failed.
    #[error("cannot {}", .0.step)]
    Step(Failure, #[source] Errno),
    /// The sandbox has ended, or the spawner has.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// A process that joined a sandbox.
#[derive(Debug)]
pub struct Joined {
    /// Its process id inside.
    pub pid: u32,
    /// Steps of its way and their lengths in microseconds.
    pub phases: Phases,
}

/// Steps and their lengths in microseconds.
pub type Phases = Vec<(String, u64)>;

impl Slot {
    /// Starts a zygote in the slot and waits until it takes orders. `descriptors` as
    /// [`Zygote`] says.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn start_zygote(
        &mut self,
        zygote: Zygote,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Phases, DriverError> {
        let request = Request::Zygote(Box::new(zygote));
        match self.ask(request, descriptors).await? {
            (Event::ZygoteReady { phases, .. }, _) => Ok(phases),
            _ => Err(DriverError::Ended),
        }
    }

    /// The way for copies of zygotes into the sandbox of this slot.
    pub fn joiner(&self) -> Joiner {
        Joiner {
            shared: Arc::clone(&self.shared),
            slot: self.slot,
            turn: Mutex::const_new(()),
        }
    }
}

/// The way for copies of zygotes into one sandbox. Whoever holds the slot can go on using and end it
/// meanwhile.
pub struct Joiner {
    shared: Arc<Shared>,
    slot: u32,
    turn: Mutex<()>,
}

impl Joiner {
    /// The slot's number.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Has a copy of a zygote become a process of the sandbox; `control` is its end of its control
    /// socket. One at a time; others wait for their turn.
    ///
    /// # Errors
    /// [`JoinError`]; the sandbox is as it was.
    pub async fn join(&self, join: Join, control: OwnedFd) -> Result<Joined, JoinError> {
        let _turn = self.turn.lock().await;
        let (reply, waiting) = oneshot::channel();
        {
            let mut slots = self.shared.slots();
            let closed = slots.closed;
            let Some(entry) = slots.entries.get_mut(&self.slot) else {
                return Err(match closed {
                    true => DriverError::SpawnerGone.into(),
                    false => DriverError::Ended.into(),
                });
            };
            entry.joining = Some(reply);
        }
        let request = Request::Join(Box::new(join));
        let sent = self.shared.requests.send((request, vec![control]));
        sent.map_err(|_| DriverError::SpawnerGone)?;
        match waiting.await.map_err(|_| DriverError::Ended)?? {
            (Event::Joined { pid, phases, .. }, _) => Ok(Joined { pid, phases }),
            (Event::NotJoined { why, .. }, _) => Err(JoinError::of(why)),
            _ => Err(DriverError::Ended.into()),
        }
    }
}

impl JoinError {
    fn of(why: Refusal) -> Self {
        match why {
            Refusal::NoZygote | Refusal::TooSlow => Self::NoZygote,
            Refusal::Frozen | Refusal::NotFrozen | Refusal::NoFreezer => Self::Paused,
            Refusal::NotRunning => Self::Driver(DriverError::Ended),
            Refusal::Linux(failure) => {
                let errno = errno_of(&failure).unwrap_or(Errno::IO);
                Self::Step(failure, errno)
            }
        }
    }
}
