//! One slot, in its holder's hands.

use super::{DriverError, Gone, Made, PauseError, Reply, Shared};
use rustix::fd::OwnedFd;
use soulbox_wire::spawner::{
    CgroupLimits, Create, Deadline, Event, Metrics, Network, Request, Usage,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A slot in use. Dropping it ends the sandbox in it.
pub struct Slot {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: u32,
    pub(super) gone: watch::Receiver<Option<Gone>>,
    pub(super) paused: watch::Receiver<bool>,
}

impl Slot {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.slot
    }

    /// Makes the network namespace and the cgroups ahead of time.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn prepare(&mut self, network: Network) -> Result<Made, DriverError> {
        let request = Request::Slot {
            slot: self.slot,
            network,
        };
        self.make(request, Vec::new()).await
    }

    /// Makes a sandbox. `descriptors`: the agent's listener, then one tree per mount.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn create(
        &mut self,
        create: Create,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Made, DriverError> {
        self.make(Request::Create(Box::new(create)), descriptors)
            .await
    }

    /// Lets a prepared sandbox run.
    ///
    /// # Errors
    /// The step that failed. The slot is being given back then.
    pub async fn start(&mut self, limits: CgroupLimits) -> Result<Made, DriverError> {
        self.make(
            Request::Start {
                slot: self.slot,
                limits,
            },
            Vec::new(),
        )
        .await
    }

    /// Changes the limits of a running sandbox.
    ///
    /// # Errors
    /// The limit that could not be set; the sandbox is being ended then.
    pub async fn limit(&mut self, limits: CgroupLimits) -> Result<(), DriverError> {
        self.ask(
            Request::Limit {
                slot: self.slot,
                limits,
            },
            Vec::new(),
        )
        .await
        .map(|_| ())
    }

    /// Kills every process of a running sandbox but its first; they may take a moment to end.
    ///
    /// # Errors
    /// [`DriverError::Step`] when they could not be listed; the sandbox is being ended then.
    pub async fn kill(&mut self) -> Result<(), DriverError> {
        let request = Request::Kill { slot: self.slot };
        self.ask(request, Vec::new()).await.map(|_| ())
    }

    /// What the sandbox has used so far.
    ///
    /// # Errors
    /// [`DriverError::Ended`] and [`DriverError::SpawnerGone`].
    pub async fn usage(&mut self) -> Result<Usage, DriverError> {
        match self
            .ask(Request::Usage { slot: self.slot }, Vec::new())
            .await?
        {
            (Event::Used { usage, .. }, _) => Ok(usage),
            _ => Err(DriverError::Ended),
        }
    }

    /// What the sandbox uses now.
    ///
    /// # Errors
    /// [`DriverError::Ended`] and [`DriverError::SpawnerGone`].
    pub async fn measure(&mut self) -> Result<Metrics, DriverError> {
        let request = Request::Measure { slot: self.slot };
        match self.ask(request, Vec::new()).await? {
            (Event::Measured { metrics, .. }, _) => Ok(metrics),
            _ => Err(DriverError::Ended),
        }
    }

    /// Stops every process of a running sandbox and waits until all of them stand still, at the
    /// most for `within`; then they go on.
    ///
    /// # Errors
    /// [`PauseError`]; the sandbox is as it was.
    pub async fn freeze(&mut self, within: Duration) -> Result<(), PauseError> {
        let request = Request::Freeze {
            slot: self.slot,
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
        };
        match self.ask(request, Vec::new()).await? {
            (Event::Frozen { .. }, _) => Ok(()),
            (event, _) => Err(PauseError::of(event, within)),
        }
    }

    /// Lets a frozen sandbox go on.
    ///
    /// # Errors
    /// [`PauseError`]; the sandbox is as it was.
    pub async fn thaw(&mut self) -> Result<(), PauseError> {
        let request = Request::Thaw { slot: self.slot };
        match self.ask(request, Vec::new()).await? {
            (Event::Thawed { .. }, _) => Ok(()),
            (event, _) => Err(PauseError::of(event, Duration::ZERO)),
        }
    }

    /// Has the spawner do something at a time, in place of what was set before.
    ///
    /// # Errors
    /// [`DriverError::Ended`] and [`DriverError::SpawnerGone`].
    pub async fn set_deadline(&mut self, deadline: Option<Deadline>) -> Result<(), DriverError> {
        let request = Request::Deadline {
            slot: self.slot,
            deadline,
        };
        match self.ask(request, Vec::new()).await? {
            (Event::DeadlineSet { .. }, _) => Ok(()),
            _ => Err(DriverError::Ended),
        }
    }

    /// Has written down what the sandbox is, for an engine that comes after this one; at most
    /// [`MAX_NOTE`](soulbox_wire::spawner::MAX_NOTE) bytes.
    pub fn note(&self, text: String) {
        let request = Request::Note {
            slot: self.slot,
            answer: false,
            text,
        };
        let _ = self.shared.requests.send((request, Vec::new()));
    }

    /// The same, and waits until it is written down, and until the deadline is set if there is one.
    ///
    /// # Errors
    /// [`DriverError::Ended`] and [`DriverError::SpawnerGone`].
    pub async fn write_note(
        &mut self,
        text: String,
        deadline: Option<Deadline>,
    ) -> Result<(), DriverError> {
        if deadline.is_some() {
            // The spawner takes one after the other, so one answer does for both.
            self.note(text);
            return self.set_deadline(deadline).await;
        }
        let request = Request::Note {
            slot: self.slot,
            answer: true,
            text,
        };
        self.ask(request, Vec::new()).await.map(drop)
    }

    /// A receiver that tells whether the sandbox stands still.
    pub fn paused(&self) -> watch::Receiver<bool> {
        self.paused.clone()
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        self.gone.borrow().is_some()
    }

    /// A receiver that gets the slot's end, once.
    pub fn end(&self) -> watch::Receiver<Option<Gone>> {
        self.gone.clone()
    }

    /// Ends the sandbox and waits until everything is given back.
    pub async fn destroy(self) -> Gone {
        let mut end = self.gone.clone();
        drop(self);
        wait_gone(&mut end).await
    }

    async fn make(
        &mut self,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Made, DriverError> {
        let (event, resolver) = self.ask(request, descriptors).await?;
        Ok(match event {
            Event::Ready { pid, phases, .. } => Made {
                pid,
                phases,
                resolver,
            },
            Event::SlotReady { phases, .. } | Event::Prepared { phases, .. } => Made {
                pid: 0,
                phases,
                resolver,
            },
            _ => Made::default(),
        })
    }

    pub(super) async fn ask(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> Reply {
        let (reply, waiting) = oneshot::channel();
        {
            let mut slots = self.shared.slots();
            let closed = slots.closed;
            let Some(entry) = slots.entries.get_mut(&self.slot) else {
                return Err(if closed {
                    DriverError::SpawnerGone
                } else {
                    DriverError::Ended
                });
            };
            entry.waiting = Some(reply);
        }
        let sent = self.shared.requests.send((request, descriptors));
        sent.map_err(|_| DriverError::SpawnerGone)?;
        waiting.await.map_err(|_| DriverError::SpawnerGone)?
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.gone.borrow().is_none() && !self.shared.slots().left {
            let request = Request::Destroy { slot: self.slot };
            let _ = self.shared.requests.send((request, Vec::new()));
        }
    }
}

/// Waits for a slot's end.
pub async fn wait_gone(end: &mut watch::Receiver<Option<Gone>>) -> Gone {
    match end.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(gone)) => gone.clone(),
        // The sender is dropped only after it has told the end.
        _ => Gone::with_the_spawner(),
    }
}
