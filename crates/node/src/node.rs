//! The engine of one machine: it makes sandboxes and keeps what is slow ready ahead of time.

use crate::ceiling::AdmissionError;
use crate::core::Core;
use crate::internet::InternetError;
use crate::lease::LeaseError;
use crate::mount_source::MountSourceError;
use crate::pools::{PoolLevel, Pools};
use crate::sandbox::Sandbox;
use crate::storage::{Room, StorageError};
use crate::tree_source::TreeError;
use crate::workplace::WorkplaceError;
use soulbox_model::{LimitError, NetworkMode, SandboxId, SandboxSpec};
use soulbox_runtime::agent_client::AgentError;
use soulbox_runtime::native::driver::DriverError;
use soulbox_runtime::native::rights::RightsError;
use soulbox_settings::Settings;
use soulbox_wire::spawner::Ids;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An engine that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its directories cannot be used.
    #[error(transparent)]
    Workplace(#[from] WorkplaceError),
    /// The machine's slots cannot be used.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Sandboxes' writes have nowhere to go.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The driver cannot work on this host.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The spawner does not say that it is there.
    #[error("the spawner said nothing for {0:?} (setting spawner.start_timeout)")]
    Timeout(Duration),
    /// The user may not make sandboxes.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// Limits that must hold cannot be held.
    #[error("nothing limits {} here, and limits are required (setting sandbox.require_limits)", .0.join(", "))]
    NotEnforced(Vec<String>),
}

/// A sandbox that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A limit is out of range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The machine has no place for it.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The template is not there.
    #[error(transparent)]
    Template(#[from] TreeError),
    /// A mount's host side cannot be used.
    #[error(transparent)]
    Mount(#[from] MountSourceError),
    /// No slot is free, or the table is broken.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The agent's socket cannot be made.
    #[error("cannot make the socket {path:?}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Linux's error.
        #[source]
        source: std::io::Error,
    },
    /// The host is not ready for a sandbox with internet.
    #[error(transparent)]
    Internet(#[from] InternetError),
    /// Its writes have nowhere to go.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The spawner was lost, and no other one could be started.
    #[error("cannot start another spawner")]
    Spawner(#[from] Box<NodeError>),
    /// The engine of an ordinary user was asked for internet.
    #[error(
        "only root's engine can give sandboxes internet: links to the host's network are root's to make"
    )]
    NoInternet,
    /// The agent did not take the sandbox's environment.
    #[error("cannot set up the sandbox")]
    Agent(#[from] AgentError),
    /// It took too long.
    #[error("the sandbox was not ready after {0:?} (setting spawner.create_timeout)")]
    Timeout(Duration),
    /// The engine is being stopped.
    #[error("the engine is being stopped")]
    Stopping,
}

/// What a sandbox is given when it is handed out.
#[derive(Debug, Clone)]
pub struct Birth {
    /// Its id.
    pub id: SandboxId,
    /// Variables of every command in it.
    pub variables: BTreeMap<String, String>,
}

impl Default for Birth {
    /// A fresh random id, no variables.
    fn default() -> Self {
        let mut random = [0; 20];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        Self {
            id: SandboxId::from_random(random),
            variables: BTreeMap::new(),
        }
    }
}

/// The engine of one machine.
pub struct Node {
    core: Arc<Core>,
    pools: Pools,
}

impl Node {
    /// Starts the engine: reclaims what dead ones left, starts the spawner and fills the pools.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(settings: Arc<Settings>) -> Result<Arc<Self>, NodeError> {
        let core = Arc::new(Core::start(settings).await?);
        let pools = Pools::start(&core);
        Ok(Arc::new(Self { core, pools }))
    }

    /// Makes a sandbox and waits until its agent accepts connections.
    ///
    /// # Errors
    /// [`CreateError`]; everything that was taken is given back.
    pub async fn create(&self, spec: SandboxSpec) -> Result<Sandbox, CreateError> {
        self.create_as(spec, Birth::default()).await
    }

    /// As [`Node::create`], under an id and with variables that the caller chose.
    ///
    /// # Errors
    /// [`CreateError`]; everything that was taken is given back.
    pub async fn create_as(&self, spec: SandboxSpec, birth: Birth) -> Result<Sandbox, CreateError> {
        let begin = Instant::now();
        spec.limits.check()?;
        let core = &self.core;
        if spec.network == NetworkMode::Internet && !core.may_connect() {
            return Err(CreateError::NoInternet);
        }
        let _waits = core.calm.wait();
        let promise = core.promise(&spec.limits)?;
        let _permit = core
            .creates
            .acquire()
            .await
            .map_err(|_| CreateError::Stopping)?;
        core.check_walls(spec.network).await?;
        let limit = core.settings.spawner.create_timeout;
        // What was begun is given back when this is dropped.
        let waiting = tokio::time::timeout(limit, core.take_or_make(&self.pools, &spec))
            .await
            .map_err(|_| CreateError::Timeout(limit))??;
        core.hand_out(waiting, spec, birth, promise, begin).await
    }

    /// Keeps sandboxes like `spec` ready from now on, as many as the settings of the pools say.
    /// Mounts cannot be: they are the asker's.
    pub fn keep_ready(&self, spec: SandboxSpec) {
        self.pools.keep(
            &self.core,
            SandboxSpec {
                mounts: Vec::new(),
                ..spec
            },
        );
    }

    /// How full the pools are.
    pub fn pools(&self) -> Vec<PoolLevel> {
        self.pools.levels()
    }

    /// Waits until the pools hold what they are to hold.
    pub async fn pools_filled(&self) {
        self.pools.filled().await;
    }

    /// The word for where sandboxes write on disk, and its room; none when nothing is used there.
    pub fn room(&self) -> Option<(&'static str, Result<Room, StorageError>)> {
        self.core.room()
    }

    /// The most sandboxes that the machine takes.
    pub fn most_sandboxes(&self) -> u32 {
        self.core.most_sandboxes
    }

    /// Whether sandboxes can have internet: an ordinary user's cannot.
    pub fn may_connect(&self) -> bool {
        self.core.may_connect()
    }

    /// Whether sandboxes have users and groups beside the default user: an ordinary user's have not
    /// when that user has no subordinate ids.
    pub fn has_many_ids(&self) -> bool {
        self.core.ids != Ids::One
    }

    /// The limits that nothing holds sandboxes to on this host, or for this user, by their names:
    /// `cpu`, `memory`, `pids`.
    pub fn not_enforced(&self) -> &[String] {
        self.core.not_enforced()
    }

    /// What the engine was set to.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.core.settings
    }

    /// Ends all sandboxes and the spawner, and waits until all is given back.
    pub async fn stop(&self) {
        self.pools.close();
        self.core.stop().await;
    }
}
