//! The engine of one machine: it makes sandboxes and keeps what is slow ready ahead of time.

use crate::ceiling::AdmissionError;
use crate::core::start::{self, StartError};
use crate::core::{Core, Ground};
use crate::deadline::Deadline;
use crate::ending::EndedMeanwhile;
use crate::internet::InternetError;
use crate::lease::LeaseError;
use crate::mount_source::MountSourceError;
use crate::pools::{KindKey, KindLevel, PoolLevel, Pools};
use crate::sandbox::Sandbox;
use crate::storage::{Room, StorageError};
use crate::tree_source::TreeError;
use crate::workplace::WorkplaceError;
use crate::zygotes::Script;
use soulbox_model::{LimitError, NetworkMode, SandboxId, SandboxSpec, TeamId, TemplateName};
use soulbox_runtime::agent_client::AgentError;
use soulbox_runtime::native::driver::{AttachError, DriverError};
use soulbox_runtime::native::rights::RightsError;
use soulbox_scheduler::Minute;
use soulbox_settings::Settings;
use soulbox_wire::spawner::{Ids, StopAt};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Another engine that lasts lives with the same directories.
    #[error(
        "another server (its spawner is process {pid}) uses the data directory {data_dir:?}; \
         stop it first, or choose another with --data-dir"
    )]
    Busy {
        /// The data directory.
        data_dir: PathBuf,
        /// The process id of its spawner.
        pid: u32,
    },
    /// What an engine left that is gone cannot be taken over.
    #[error(
        "cannot take over the sandboxes of an engine that is gone; end its spawner to lose them"
    )]
    Attach(#[from] AttachError),
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
    /// What the template runs from the start does not run.
    #[error(transparent)]
    Start(#[from] StartError),
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
    /// When it ends or pauses by itself.
    pub deadline: Option<Deadline>,
    /// Whose it is: sandboxes of one team and template share a zygote; without a team there is none.
    pub team: Option<TeamId>,
    /// The script that it is made to run, for which a zygote is worth while also where the template has
    /// no kernels: sandboxes of one zygote share what Linux counts for the owner of a user namespace.
    pub script: Option<Script>,
}

impl Default for Birth {
    /// A fresh random id, no variables, no deadline.
    fn default() -> Self {
        let mut random = [0; 20];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        Self {
            id: SandboxId::from_random(random),
            variables: BTreeMap::new(),
            deadline: None,
            team: None,
            script: None,
        }
    }
}

/// The engine of one machine.
pub struct Node {
    core: Arc<Core>,
    pools: Arc<Pools>,
    adopted: Mutex<Vec<(Sandbox, String)>>,
}

impl Node {
    /// Starts the engine: reclaims what dead ones left, starts the spawner and fills the pools.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(settings: Arc<Settings>) -> Result<Arc<Self>, NodeError> {
        Self::begin(settings, false).await
    }

    /// Starts an engine whose sandboxes go on when it is gone, however that comes, until an engine
    /// that is started like this with the same directories takes them over: [`Node::adopted`].
    /// Deadlines are kept meanwhile. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`]; what runs goes on.
    pub async fn start_lasting(settings: Arc<Settings>) -> Result<Arc<Self>, NodeError> {
        Self::begin(settings, true).await
    }

    async fn begin(settings: Arc<Settings>, lasting: bool) -> Result<Arc<Self>, NodeError> {
        let (core, held) = Core::start(settings, lasting).await?;
        let core = Arc::new(core);
        let adopted = match lasting {
            true => core.adopt(held).await?,
            false => Vec::new(),
        };
        let pools = Arc::new(Pools::start(&core));
        pools.follow_demand(&core);
        Ok(Arc::new(Self {
            core,
            pools,
            adopted: Mutex::new(adopted),
        }))
    }

    /// The sandboxes that were taken over, each with the note of whoever had asked for it; once.
    /// Those that nobody takes go on until [`Node::stop`].
    pub fn adopted(&self) -> Vec<(Sandbox, String)> {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut adopted)
    }

    /// Sandboxes that ended while no engine was there to see it, and others that ended lately: who
    /// asks compares them with what it knows. Those of other engines of the machine are among
    /// them. None is left out that ended since the last engine with these directories was there,
    /// unless the machine was restarted.
    pub async fn ended_meanwhile(&self) -> Vec<EndedMeanwhile> {
        self.core.ended_meanwhile().await
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
        self.create_of(spec, birth, None).await
    }

    /// As [`Node::create_as`], with a root that is not that of a template of the store.
    ///
    /// # Errors
    /// [`CreateError`]; everything that was taken is given back.
    pub(crate) async fn create_of(
        &self,
        spec: SandboxSpec,
        birth: Birth,
        ground: Option<Ground>,
    ) -> Result<Sandbox, CreateError> {
        let begin = Instant::now();
        // What a template runs is no part of the steps that make it.
        let starts = ground.is_none() && birth.script.is_none();
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
        let make = async {
            match ground {
                None => core.take_or_make((core, &self.pools), &spec, &birth).await,
                Some(ground) => {
                    let slot = self.pools.place(core).await?;
                    core.make_of(Some(slot), &spec, ground, None, StopAt::Running)
                        .await
                }
            }
        };
        let waiting = tokio::time::timeout(limit, make)
            .await
            .map_err(|_| CreateError::Timeout(limit))??;
        let template = waiting.template.clone();
        let sandbox = core.hand_out(waiting, spec, birth, promise, begin).await?;
        let start = template
            .as_ref()
            .and_then(|template| template.record.start.as_ref());
        if let Some(start) = start.filter(|_| starts) {
            let limits = (core.settings.spawner.ready_timeout, Duration::ZERO);
            start::start(sandbox.agent(), start, limits, &mut |_| {}).await?;
        }
        Ok(sandbox)
    }

    /// Which ids its sandboxes have.
    pub(crate) fn ids(&self) -> Ids {
        self.core.ids
    }

    /// Keeps sandboxes like `spec` ready from now on, as many as the settings of the pools say.
    /// Mounts cannot be: they are the asker's. `team`: whose they will be, if only one team's; `script`: what
    /// they will run, if only that.
    pub fn keep_ready(&self, spec: SandboxSpec, team: Option<&TeamId>, script: Option<Script>) {
        let spec = SandboxSpec {
            mounts: Vec::new(),
            ..spec
        };
        self.pools.keep(&self.core, &spec, team, script);
    }

    /// The pools of complete sandboxes, each kind by itself.
    pub fn kinds(&self) -> Vec<KindLevel> {
        self.pools.kinds()
    }

    /// What was asked for since this was asked last, by kind.
    pub fn take_arrivals(&self) -> Vec<(KindKey, Minute)> {
        self.pools.take_arrivals()
    }

    /// So many of a kind are to wait by a forecast, beside what the demand of late wants; `error`: by how
    /// much forecasts were off. The memory of the pools bounds them all the same.
    pub async fn expect(&self, kind: &KindKey, count: u32, error: Option<f64>) {
        self.pools.expect(&self.core, kind, (count, error)).await;
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

    /// Keeps a template no longer for sandboxes that may come: what lives goes on, and then it can be removed.
    pub fn let_go_of(&self, name: &TemplateName) {
        self.core.let_go_of(name);
    }

    /// Stops the engine and leaves its sandboxes to the next one: for an engine that lasts. Of
    /// another one, everything ends. Nothing can be asked of its sandboxes any more; dropping them
    /// does not end them.
    pub async fn leave(&self) {
        self.pools.stop().await;
        match self.core.lasting {
            true => self.core.leave().await,
            false => self.core.stop().await,
        }
    }

    /// Ends all sandboxes and the spawner, and waits until all is given back.
    pub async fn stop(&self) {
        self.pools.stop().await;
        self.core.stop().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Before the sandboxes that nobody took are dropped.
        self.core.abandon();
    }
}
