//! The engine of one machine: it makes sandboxes and keeps what is slow ready ahead of time.

use crate::internet::{Internet, InternetError};
use crate::lease::{Holder, ID_BASE, Lease, LeaseError, Table};
use crate::mount_source::{self, MountSourceError};
use crate::owner::{OwnerError, Owners};
use crate::pools::Pools;
use crate::sandbox::Sandbox;
use crate::tree_source::{self, TreeError};
use crate::workplace::{Workplace, WorkplaceError};
use soulbox_model::{
    LimitError, Limits, NetworkMode, Phases, SandboxId, SandboxSpec, TemplateName,
};
use soulbox_runtime::agent_client::AgentClient;
use soulbox_runtime::native::driver::{DriverError, Made, NativeDriver, Slot};
use soulbox_settings::Settings;
use soulbox_wire::spawner::{
    CgroupLimits, Create, GENERATION, GuestMount, Init, Layer, Network, StopAt, Storage,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OnceCell, Semaphore};

/// The name of the cgroup below which each slot has one.
const CGROUP: &str = "soulbox";

/// The team of sandboxes that no team asked for.
const TEAM: &str = "default";

/// One file or directory for this many bytes of an in-memory layer: small files dominate in
/// package trees, and 16 KiB is below their usual mean.
const BYTES_PER_INODE: u64 = 16 * 1024;

/// An engine that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its directories cannot be used.
    #[error(transparent)]
    Workplace(#[from] WorkplaceError),
    /// The machine's slots cannot be used.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The driver cannot work on this host.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Not run by root.
    #[error("sandboxes need root on this host: run it with sudo")]
    NotRoot,
}

/// A sandbox that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A limit is out of range.
    #[error(transparent)]
    Limit(#[from] LimitError),
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
    /// No owner can be given to its team and template.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The engine is being stopped.
    #[error("the engine is being stopped")]
    Stopping,
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
        let begin = Instant::now();
        spec.limits.check()?;
        let _permit = self
            .core
            .creates
            .acquire()
            .await
            .map_err(|_| CreateError::Stopping)?;
        if spec.network == NetworkMode::Internet {
            self.core.internet().await?.check().await?;
        }
        let waiting = self.core.take_or_make(&self.pools, &spec).await?;
        self.core.hand_out(waiting, spec, begin)
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

    /// Waits until the pools hold what they are to hold.
    pub async fn pools_filled(&self) {
        self.pools.filled().await;
    }

    /// What the engine was set to.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.core.settings
    }

    /// Ends all sandboxes and the spawner, and waits until all is given back.
    pub async fn stop(&self) {
        self.core.creates.close();
        self.pools.close();
        self.core.driver.stop().await;
        if let Some(internet) = self.core.internet.get() {
            internet.stop().await;
        }
    }
}

/// A slot that waits, with whatever was made in it so far.
pub(crate) struct Waiting {
    slot: Slot,
    made: Made,
    socket: PathBuf,
}

/// What a slot holds of the engine until all of it is given back.
struct Keep {
    socket: PathBuf,
    /// Dropped after the socket is removed: the number is free when nothing of it is left.
    _lease: Lease,
}

impl Drop for Keep {
    fn drop(&mut self) {
        // A slot that never had a sandbox has no socket.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// What creates need; shared with the refilling of the pools.
pub(crate) struct Core {
    settings: Arc<Settings>,
    driver: NativeDriver,
    table: Arc<Table>,
    owners: Owners,
    workplace: Workplace,
    creates: Semaphore,
    holder: Holder,
    host_tree: OnceCell<()>,
    internet: OnceCell<Internet>,
}

impl Core {
    async fn start(settings: Arc<Settings>) -> Result<Self, NodeError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NodeError::NotRoot);
        }
        let paths = &settings.paths;
        let table = Arc::new(Table::open(&paths.machine_dir)?);
        Workplace::sweep(&paths.run_dir, &paths.data_dir);
        table.reclaim(crate::reclaim::clean_slot(CGROUP))?;
        crate::reclaim::sweep_walls(&paths.machine_dir);
        let workplace = Workplace::make(&paths.run_dir, &paths.data_dir)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let driver = NativeDriver::start(Init {
            generation: GENERATION,
            roots: vec![text(&paths.data_dir), tree_source::HOST_TREE.to_owned()],
            scratch: text(workplace.scratch()),
            cgroup: CGROUP.to_owned(),
            id_base: ID_BASE,
            subnet: settings.network.subnet.to_string(),
        })
        .await?;
        let holder = driver
            .spawner_pid()
            .and_then(Holder::of)
            .ok_or(DriverError::SpawnerGone)?;
        let concurrency = settings.spawner.concurrency as usize;
        let owners = Owners::new(&paths.machine_dir);
        let creates = Semaphore::new(concurrency);
        Ok(Self {
            settings,
            driver,
            table,
            owners,
            workplace,
            creates,
            holder,
            host_tree: OnceCell::new(),
            internet: OnceCell::new(),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the readiest thing that fits from the pools and makes the rest.
    async fn take_or_make(
        &self,
        pools: &Pools,
        spec: &SandboxSpec,
    ) -> Result<Waiting, CreateError> {
        if let Some(kind) = pools.kind_for(spec) {
            if let Some(mut parked) = kind.parked.take() {
                if spec.limits != kind.spec.limits {
                    parked.slot.limit(cgroup_limits(&spec.limits)).await?;
                }
                parked.made.phases.clear();
                return Ok(parked);
            }
            if let Some(mut prepared) = kind.prepared.take() {
                let resolver = std::mem::take(&mut prepared.made.resolver);
                prepared.made = prepared.slot.start(cgroup_limits(&spec.limits)).await?;
                prepared.made.resolver.extend(resolver);
                return Ok(prepared);
            }
        }
        let slot = match spec.network {
            NetworkMode::None => pools.slots.take(),
            NetworkMode::Internet => None,
        };
        self.make(slot, spec, StopAt::Running).await
    }

    /// Makes a slot's network namespace and cgroups.
    pub(crate) async fn make_slot(&self, network: Network) -> Result<Waiting, CreateError> {
        let mut waiting = self.open_slot()?;
        waiting.made = waiting.slot.prepare(network).await?;
        Ok(waiting)
    }

    /// The walls and the resolver, which the first sandbox with internet brings up.
    async fn internet(&self) -> Result<&Internet, InternetError> {
        self.internet
            .get_or_try_init(|| Internet::start(&self.settings))
            .await
    }

    /// The trees of a template; `host` is made at its first use.
    async fn layers(&self, template: &TemplateName) -> Result<Vec<Layer>, CreateError> {
        let data_dir = &self.settings.paths.data_dir;
        if template.is_host() {
            self.host_tree
                .get_or_try_init(|| tree_source::prepare_host(data_dir))
                .await?;
        }
        Ok(tree_source::layers(data_dir, template)?)
    }

    fn open_slot(&self) -> Result<Waiting, CreateError> {
        let lease = self.table.take(self.holder)?;
        let socket = self.workplace.socket(lease.slot());
        let number = lease.slot();
        let keep = Keep {
            socket: socket.clone(),
            _lease: lease,
        };
        let slot = self.driver.open(number, Box::new(keep))?;
        Ok(Waiting {
            slot,
            made: Made::default(),
            socket,
        })
    }

    /// Makes a sandbox, in `slot` when one was ready.
    pub(crate) async fn make(
        &self,
        slot: Option<Waiting>,
        spec: &SandboxSpec,
        stop_at: StopAt,
    ) -> Result<Waiting, CreateError> {
        let layers = self.layers(&spec.template).await?;
        let owner = self.owners.of(&owner_key(&layers))?;
        let opened = spec
            .mounts
            .iter()
            .map(mount_source::open)
            .collect::<Result<Vec<_>, _>>()?;
        let (mounts, trees): (Vec<GuestMount>, Vec<_>) = opened.into_iter().unzip();
        let mut waiting = match slot {
            Some(slot) => slot,
            None => self.open_slot()?,
        };
        let listener = listen(&waiting.socket)?;
        let create = Create {
            slot: waiting.slot.number(),
            network: wire_network(spec.network),
            owner,
            layers,
            storage: in_memory(&spec.limits),
            shm: spec.limits.memory.bytes() / 2,
            mounts,
            limits: cgroup_limits(&spec.limits),
            stop_at,
        };
        let descriptors = std::iter::once(listener.into()).chain(trees).collect();
        let resolver = std::mem::take(&mut waiting.made.resolver);
        waiting.made = waiting.slot.create(create, descriptors).await?;
        waiting.made.resolver.extend(resolver);
        Ok(waiting)
    }

    fn hand_out(
        &self,
        waiting: Waiting,
        spec: SandboxSpec,
        begin: Instant,
    ) -> Result<Sandbox, CreateError> {
        let mut random = [0; 20];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let mut phases = Phases::default();
        for (step, micros) in &waiting.made.phases {
            phases.push(step, *micros);
        }
        let total = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        phases.push("engine", total.saturating_sub(phases.total()));
        let id = SandboxId::from_random(random);
        let Waiting { slot, made, socket } = waiting;
        let resolver = match self.internet.get() {
            Some(internet) => internet.serve(made.resolver)?,
            None => None,
        };
        let agent = AgentClient::new(socket);
        Ok(Sandbox::new(
            id, spec, made.pid, phases, agent, slot, resolver,
        ))
    }
}

/// Which team and template own the sandboxes of these trees.
fn owner_key(layers: &[Layer]) -> String {
    let tree = layers.first().map_or("", |layer| layer.tree.as_str());
    format!("{TEAM} {}", tree.escape_default())
}

fn wire_network(network: NetworkMode) -> Network {
    match network {
        NetworkMode::None => Network::None,
        NetworkMode::Internet => Network::Internet,
    }
}

fn cgroup_limits(limits: &Limits) -> CgroupLimits {
    CgroupLimits {
        cpu_millis: limits.cpu_millis,
        memory: limits.memory.bytes(),
        pids: limits.pids,
    }
}

/// A writable layer in memory: as large as was asked for, but never so large that writing alone
/// could use up the memory limit, so that a full disk is told as such.
fn in_memory(limits: &Limits) -> Storage {
    let size = limits.disk.bytes().min(limits.memory.bytes() / 4 * 3);
    Storage::Memory {
        size,
        inodes: (size / BYTES_PER_INODE).max(1024),
    }
}

/// Makes the socket on which an agent will listen.
fn listen(path: &Path) -> Result<UnixListener, CreateError> {
    let listen = || -> std::io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| CreateError::Socket {
        path: path.to_owned(),
        source,
    })
}
