//! Connections to sandboxes' ports: how many there may be, and those that wait for the next request.

use super::link::Link;
use soulbox_control::{Control, Live};
use soulbox_model::{SandboxId, SandboxState};
use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many of a port are kept.
const KEPT: usize = 64;
/// How often it is looked for what is kept in vain, at least.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of all sandboxes.
pub(crate) struct Ports {
    control: Weak<Control>,
    /// Connections of one sandbox at once.
    most: usize,
    /// How long one is kept.
    idle: Duration,
    sandboxes: Mutex<Sandboxes>,
}

#[derive(Default)]
struct Sandboxes {
    all: HashMap<SandboxId, Sandbox>,
    swept: bool,
}

/// The connections of one sandbox.
struct Sandbox {
    places: Arc<Semaphore>,
    kept: HashMap<NonZeroU16, Vec<(Link, Instant)>>,
}

impl Ports {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        let server = &control.settings().server;
        Self {
            control: Arc::downgrade(control),
            most: server.sandbox_connections as usize,
            idle: server.sandbox_idle,
            sandboxes: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sandboxes> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn runs(&self, id: &SandboxId) -> bool {
        let live = self.control.upgrade().and_then(|control| control.find(id));
        live.is_some_and(|live| live.look(|record| record.state == SandboxState::Running))
    }

    /// Closes what was kept too long, or belongs to a sandbox that does not run; false when nothing is left.
    fn sweep(&self) -> bool {
        let ids: Vec<SandboxId> = self.lock().all.keys().cloned().collect();
        let gone: Vec<SandboxId> = ids.into_iter().filter(|id| !self.runs(id)).collect();
        let mut closed = Vec::new();
        let mut sandboxes = self.lock();
        for (id, sandbox) in &mut sandboxes.all {
            let gone = gone.contains(id);
            sandbox.kept.retain(|_, kept| {
                let keep = |(_, since): &(Link, Instant)| !gone && since.elapsed() < self.idle;
                closed.extend(kept.extract_if(.., |entry| !keep(entry)));
                !kept.is_empty()
            });
        }
        let most = self.most;
        sandboxes.all.retain(|_, sandbox| {
            !sandbox.kept.is_empty() || sandbox.places.available_permits() < most
        });
        sandboxes.swept = !sandboxes.all.is_empty();
        let left = sandboxes.swept;
        // Closing them takes longer than the lock should be held.
        drop(sandboxes);
        drop(closed);
        left
    }
}

/// One port of one sandbox.
pub(super) struct Home {
    ports: Arc<Ports>,
    live: Arc<Live>,
    id: SandboxId,
    port: NonZeroU16,
}

impl Home {
    pub(super) fn new(ports: &Arc<Ports>, live: Arc<Live>, port: NonZeroU16) -> Self {
        Self {
            ports: Arc::clone(ports),
            id: live.id(),
            live,
            port,
        }
    }

    pub(super) fn id(&self) -> &SandboxId {
        &self.id
    }

    pub(super) fn port(&self) -> NonZeroU16 {
        self.port
    }

    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// A kept connection that can take a request: the one that was used last.
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let (mut link, since) = {
                let mut sandboxes = self.ports.lock();
                sandboxes
                    .all
                    .get_mut(&self.id)?
                    .kept
                    .get_mut(&self.port)?
                    .pop()?
            };
            if since.elapsed() < self.ports.idle && link.is_usable() {
                return Some(link);
            }
        }
    }

    /// The right to one more connection. Those that are kept for other ports make room.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        let mut sandboxes = self.ports.lock();
        let sandbox = sandboxes
            .all
            .entry(self.id.clone())
            .or_insert_with(|| Sandbox {
                places: Arc::new(Semaphore::new(self.ports.most)),
                kept: HashMap::new(),
            });
        let places = Arc::clone(&sandbox.places);
        if places.available_permits() == 0 {
            sandbox.kept.clear();
        }
        if !std::mem::replace(&mut sandboxes.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.ports), self.ports.idle));
        }
        drop(sandboxes);
        places.try_acquire_owned().ok()
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(&self, link: Link) {
        let mut sandboxes = self.ports.lock();
        if let Some(sandbox) = sandboxes.all.get_mut(&self.id) {
            let kept = sandbox.kept.entry(self.port).or_default();
            if kept.len() < KEPT {
                kept.push((link, Instant::now()));
            }
        }
    }
}

async fn sweep(ports: Weak<Ports>, idle: Duration) {
    loop {
        tokio::time::sleep(idle.min(SWEEP)).await;
        match ports.upgrade() {
            Some(ports) if ports.sweep() => {}
            _ => return,
        }
    }
}
