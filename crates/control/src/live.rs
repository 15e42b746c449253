//! One live sandbox: its record, the way to it, its time and its end.

use crate::hub::Happened;
use crate::memory_watch::MemoryWatch;
use crate::samples::Samples;
use soulbox_model::{Phases, SandboxId, SandboxRecord, SandboxState};
use soulbox_node::{Sandbox, Supplier};
use soulbox_runtime::agent_client::{AgentClient, AgentError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OnceCell, OwnedRwLockReadGuard, RwLock, watch};

/// A sandbox that lives.
pub struct Live {
    record: Mutex<SandboxRecord>,
    phases: Phases,
    agent: AgentClient,
    /// Whether it has kernels, once somebody asked.
    kernels: OnceCell<bool>,
    sandbox: Arc<RwLock<Option<Sandbox>>>,
    supplier: Option<Arc<Supplier>>,
    /// That it was made, where that is kept only with its end.
    unkept: Mutex<Option<Happened>>,
    /// Told when it is being ended.
    over: watch::Sender<bool>,
    /// What it used.
    pub(crate) samples: Samples,
    /// What was told of kills for want of memory.
    pub(crate) memory_watch: MemoryWatch,
    /// Told when its time was changed.
    pub(crate) time_changed: Notify,
    /// Held while it is paused, resumed or ended: one of these at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Live {
    pub(crate) fn new(record: SandboxRecord, sandbox: Sandbox) -> Self {
        Self {
            record: Mutex::new(record),
            phases: sandbox.phases().clone(),
            agent: sandbox.agent().clone(),
            kernels: OnceCell::new(),
            supplier: sandbox.supplier(),
            sandbox: Arc::new(RwLock::new(Some(sandbox))),
            unkept: Mutex::default(),
            over: watch::Sender::new(false),
            samples: Samples::new(),
            memory_watch: MemoryWatch::default(),
            time_changed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// One whose record is kept only when it ends, and `created` with it.
    pub(crate) fn of_run(record: SandboxRecord, sandbox: Sandbox, created: Happened) -> Self {
        Self {
            unkept: Mutex::new(Some(created)),
            ..Self::new(record, sandbox)
        }
    }

    /// That it was made, where that is not kept yet.
    pub(crate) fn unkept(&self) -> Option<Happened> {
        let unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.clone()
    }

    /// What is to be kept with its end.
    pub(crate) fn take_unkept(&self) -> Option<Happened> {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.take()
    }

    /// Tells those who wait that it is being ended.
    pub(crate) fn tell_over(&self) {
        self.over.send_replace(true);
    }

    /// Waits until it is being ended.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        async move {
            // The sender lives as long as this.
            let _ = over.wait_for(|over| *over).await;
        }
    }

    /// Its record as it is now.
    pub fn record(&self) -> SandboxRecord {
        self.lock().clone()
    }

    /// Tells something of its record, without a copy of all of it.
    pub fn look<T>(&self, at: impl FnOnce(&SandboxRecord) -> T) -> T {
        at(&self.lock())
    }

    /// Whether it takes requests as it is: it is neither paused nor ended.
    pub fn is_running(&self) -> bool {
        self.lock().state == SandboxState::Running
    }

    /// Its id.
    pub fn id(&self) -> SandboxId {
        self.lock().id.clone()
    }

    /// What it used.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The way to its agent.
    pub fn agent(&self) -> &AgentClient {
        &self.agent
    }

    /// Whether its template has kernels, which its agent serves. The agent is asked once.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn has_kernels(&self) -> Result<bool, AgentError> {
        let ask = async || self.agent.kernels().await.map(|known| !known.is_empty());
        self.kernels.get_or_try_init(ask).await.copied()
    }

    /// Makes sure that its agent gets copies of its template's zygote when it asks for them, if there is
    /// one. Costs nothing when that is so already.
    pub async fn supply(&self) {
        if let Some(supplier) = &self.supplier {
            supplier.begin().await;
        }
    }

    /// The same for one copy.
    pub(crate) async fn supply_one(&self) {
        if let Some(supplier) = &self.supplier {
            supplier.begin_for_one().await;
        }
    }

    /// Where the time of its create went.
    pub(crate) fn phases(&self) -> &Phases {
        &self.phases
    }

    /// Its record, to look at or change for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SandboxRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's sandbox; none once it is being ended. Ending waits for who holds this.
    pub(crate) async fn sandbox(&self) -> Option<OwnedRwLockReadGuard<Option<Sandbox>, Sandbox>> {
        let guard = Arc::clone(&self.sandbox).read_owned().await;
        OwnedRwLockReadGuard::try_map(guard, Option::as_ref).ok()
    }

    /// Takes the engine's sandbox in order to end it.
    pub(crate) async fn take(&self) -> Option<Sandbox> {
        self.sandbox.write().await.take()
    }
}
