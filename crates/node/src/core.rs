//! What creates need, shared by those who ask and by the refilling of the pools.

use crate::calm::Calm;
use crate::ceiling::{Machine, Promise, Promises};
use crate::internet::{Internet, InternetError};
use crate::keeper::{Keeper, Spawner};
use crate::lease::{ID_BASE, Lease, Table};
use crate::limits::{cgroup_limits, limits_disks};
use crate::memory_kill::MemoryKills;
use crate::mount_source;
use crate::node::{Birth, CreateError, NodeError};
use crate::owner;
use crate::past::{Note, Past};
use crate::pool::Pool;
use crate::pools::{Kind, Pools};
use crate::sandbox::{Kept, Sandbox};
use crate::storage::remover::Way;
use crate::storage::{Choice, Gauge, Layer as WritableLayer, Room, StorageError};
use crate::template::Template;
use crate::tree_source::{self, TreeSource};
use crate::workplace::Workplace;
use soulbox_model::{Limits, NetworkMode, Phases, SandboxSpec};
use soulbox_runtime::agent_client::AgentClient;
use soulbox_runtime::native::driver::{self, Made, Slot};
use soulbox_runtime::native::rights;
use soulbox_settings::Settings;
use soulbox_wire::envd::http::InitRequest;
use soulbox_wire::spawner::{Create, GENERATION, GuestMount, Ids, Init, Network, StopAt};
use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{OnceCell, Semaphore};

/// The name of the cgroup below which each slot has one.
const CGROUP: &str = "soulbox";

/// A slot that waits, with whatever was made in it so far.
pub(crate) struct Waiting {
    slot: Slot,
    /// The host uid that will own the user namespace of what is made in it.
    owner: u32,
    made: Made,
    socket: PathBuf,
    /// What every process in it is told.
    environment: BTreeMap<String, String>,
    /// Keeps the trees from being removed.
    template: Option<Arc<Template>>,
    /// Takes what the slot holds until all of it is given back.
    held: Held,
    gauge: Gauge,
}

impl Waiting {
    /// Whether it still is there, and what was asked for now would be made of the same trees.
    fn is_current(&self) -> bool {
        let template = self.template.as_ref();
        !self.slot.is_gone() && template.is_none_or(|template| template.is_current())
    }
}

/// The writable layer of a slot, once it has one.
type Held = Arc<Mutex<Option<WritableLayer>>>;

/// What a slot holds of the engine until all of it is given back.
struct Keep {
    socket: PathBuf,
    layer: Held,
    remover: Option<Way>,
    /// Given back last: the number is free when nothing of it is left.
    lease: Option<Lease>,
}

impl driver::Kept for Keep {
    fn give_back(mut self: Box<Self>, clean: bool) {
        // A slot that never had a sandbox has no socket.
        let _ = std::fs::remove_file(&self.socket);
        let mut layer = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = layer.take_if(|layer| layer.lasts());
        drop(layer);
        let Some(lease) = self.lease.take() else {
            return;
        };
        if !clean {
            // Whoever removes what is left frees it then.
            lease.leave();
        } else if let (Some(remover), Some(layer)) = (&self.remover, lasts) {
            remover.remove(layer, lease);
        }
    }
}

/// What creates need; shared with the refilling of the pools.
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    pub(crate) ids: Ids,
    not_enforced: Vec<String>,
    keeper: Arc<Keeper>,
    table: Arc<Table>,
    workplace: Arc<Workplace>,
    storage: Arc<Choice>,
    pub(crate) creates: Semaphore,
    pub(crate) calm: Calm,
    trees: TreeSource,
    internet: OnceCell<Internet>,
    pub(crate) most_sandboxes: u32,
    promises: Promises,
    memory_kills: Arc<MemoryKills>,
}

impl Core {
    /// Reclaims what dead engines left and starts the spawner.
    pub(crate) async fn start(settings: Arc<Settings>) -> Result<Self, NodeError> {
        let ids = rights::of_process(ID_BASE)?;
        let paths = &settings.paths;
        if !may_connect(ids) {
            let above = paths.machine_dir.parent();
            for directory in [&*paths.run_dir, &*paths.data_dir].into_iter().chain(above) {
                Workplace::claim(directory)?;
            }
        }
        let table = Arc::new(Table::open(&paths.machine_dir)?);
        let places = (
            paths.machine_dir.as_path(),
            paths.run_dir.as_path(),
            paths.data_dir.as_path(),
        );
        crate::reclaim::dead_engines(places, &table, CGROUP)?;
        let (machine_dir, run_dir, data_dir) = places;
        let workplace = Arc::new(Workplace::make(machine_dir, run_dir, data_dir)?);
        let storage = Arc::new(Choice::open(&settings, &workplace)?);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let machine = Machine::this();
        let ceiling = machine.ceiling(&settings.node);
        // Before the spawner, which inherits it.
        crate::ceiling::spare_engine();
        let init = Init {
            generation: GENERATION,
            roots: vec![text(&paths.data_dir), tree_source::HOST_TREE.to_owned()],
            scratch: text(workplace.scratch()),
            cgroup: CGROUP.to_owned(),
            ids,
            subnet: settings.network.subnet.to_string(),
            ceiling,
            limit_io: limits_disks(&settings.sandbox.limits()),
            storage: storage.mount().is_some(),
        };
        let limit = settings.spawner.start_timeout;
        let (place, slots) = (Arc::clone(&workplace), Arc::clone(&table));
        let past = Past::new(machine_dir);
        let keeper = Keeper::start(init, limit, (place, slots), past, Arc::clone(&storage)).await?;
        let not_enforced = keeper.get().await?.driver.not_enforced().to_vec();
        if settings.sandbox.require_limits && !not_enforced.is_empty() {
            return Err(NodeError::NotEnforced(not_enforced));
        }
        let concurrency = settings.spawner.concurrency as usize;
        let trees = TreeSource::open(&paths.data_dir);
        let creates = Semaphore::new(concurrency);
        let calm = Calm::new(settings.pool.rest);
        let most_sandboxes = machine.most_sandboxes(&settings.node);
        let promises = Promises::new(settings.node.promised_memory);
        Ok(Self {
            settings,
            ids,
            not_enforced,
            keeper,
            table,
            workplace,
            storage,
            creates,
            calm,
            trees,
            internet: OnceCell::new(),
            most_sandboxes,
            promises,
            memory_kills: Arc::new(MemoryKills::follow()),
        })
    }

    /// Whether sandboxes can have internet.
    pub(crate) fn may_connect(&self) -> bool {
        may_connect(self.ids)
    }

    pub(crate) fn not_enforced(&self) -> &[String] {
        &self.not_enforced
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the readiest thing that fits from the pools and makes the rest.
    pub(crate) async fn take_or_make(
        &self,
        pools: &Pools,
        spec: &SandboxSpec,
    ) -> Result<Waiting, CreateError> {
        // A resource limit cannot be changed any more once a user's sandbox is made.
        let fits = |kind: &Kind| self.may_connect() || kind.spec.limits.pids == spec.limits.pids;
        if let Some(kind) = pools.kind_for(spec).filter(|kind| fits(kind)) {
            if let Some(mut parked) = take_current(&kind.parked) {
                if spec.limits != kind.spec.limits {
                    parked.slot.limit(cgroup_limits(&spec.limits)).await?;
                }
                parked.made.phases.clear();
                return Ok(parked);
            }
            if let Some(mut prepared) = take_current(&kind.prepared) {
                let resolver = std::mem::take(&mut prepared.made.resolver);
                prepared.made = prepared.slot.start(cgroup_limits(&spec.limits)).await?;
                prepared.made.resolver.extend(resolver);
                return Ok(prepared);
            }
        }
        let slot = match spec.network {
            NetworkMode::None => take_current(&pools.slots),
            NetworkMode::Internet => None,
        };
        self.make(slot, spec, StopAt::Running).await
    }

    /// Makes a slot's network namespace and cgroups.
    pub(crate) async fn make_slot(&self, network: Network) -> Result<Waiting, CreateError> {
        let mut waiting = self.open_slot().await?;
        waiting.made = waiting.slot.prepare(network).await?;
        Ok(waiting)
    }

    /// The walls and the resolver, which the first sandbox with internet brings up.
    async fn internet(&self) -> Result<&Internet, InternetError> {
        self.internet
            .get_or_try_init(|| Internet::start(&self.settings))
            .await
    }

    /// Promises a sandbox its memory.
    pub(crate) fn promise(&self, limits: &Limits) -> Result<Promise, CreateError> {
        Ok(self.promises.make(limits)?)
    }

    async fn open_slot(&self) -> Result<Waiting, CreateError> {
        let spawner = self.keeper.get().await.map_err(Box::new)?;
        self.open_slot_of(&spawner)
    }

    fn open_slot_of(&self, spawner: &Spawner) -> Result<Waiting, CreateError> {
        let (holder, mark) = (spawner.holder, self.workplace.mark());
        let lease = self.table.take_of(holder, mark, self.most_sandboxes)?;
        self.memory_kills.forget(lease.slot());
        let socket = self.workplace.socket(lease.slot());
        let number = lease.slot();
        let held = Held::default();
        let keep = Keep {
            socket: socket.clone(),
            layer: Arc::clone(&held),
            remover: self.storage.remover(),
            lease: Some(lease),
        };
        let slot = spawner.driver.open(number, Box::new(keep))?;
        Ok(Waiting {
            slot,
            owner: owner::of_slot(number),
            made: Made::default(),
            socket,
            environment: BTreeMap::new(),
            template: None,
            held,
            gauge: Gauge::FileSystem,
        })
    }

    /// Makes a sandbox, in `slot` when one was ready.
    pub(crate) async fn make(
        &self,
        slot: Option<Waiting>,
        spec: &SandboxSpec,
        stop_at: StopAt,
    ) -> Result<Waiting, CreateError> {
        let template = self.trees.get(&spec.template).await?;
        let layers = tree_source::layers(&template, self.ids)?;
        let opened = spec
            .mounts
            .iter()
            .map(mount_source::open)
            .collect::<Result<Vec<_>, _>>()?;
        let (mut mounts, mut trees): (Vec<GuestMount>, Vec<_>) = opened.into_iter().unzip();
        let mut waiting = match slot {
            Some(slot) => slot,
            None => self.open_slot().await?,
        };
        if spec.network == NetworkMode::Internet
            && let Some(trusted) = self.internet().await?.trusted(&layers)?
        {
            mounts.push(trusted.mount);
            trees.push(trusted.tree);
            waiting.environment = trusted.environment;
        }
        waiting.template = Some(template);
        let storage = self.allot(&mut waiting, spec.limits).await?;
        let listener = listen(&waiting.socket)?;
        let create = Create {
            slot: waiting.slot.number(),
            network: wire_network(spec.network),
            owner: waiting.owner,
            layers,
            storage,
            shm: spec.limits.memory.bytes() / 2,
            mounts,
            limits: cgroup_limits(&spec.limits),
            open_files: spec.limits.open_files,
            stop_at,
        };
        let descriptors = std::iter::once(listener.into()).chain(trees).collect();
        let resolver = std::mem::take(&mut waiting.made.resolver);
        waiting.made = waiting.slot.create(create, descriptors).await?;
        waiting.made.resolver.extend(resolver);
        Ok(waiting)
    }

    /// Makes the writable layer of a slot.
    async fn allot(
        &self,
        waiting: &mut Waiting,
        limits: Limits,
    ) -> Result<soulbox_wire::spawner::Storage, CreateError> {
        let (storage, slot) = (Arc::clone(&self.storage), waiting.slot.number());
        let layer = match storage.is_instant(&limits) {
            true => storage.allot(slot, &limits)?,
            false => tokio::task::spawn_blocking(move || storage.allot(slot, &limits))
                .await
                .map_err(|_| CreateError::Stopping)??,
        };
        waiting.gauge = layer.gauge.clone();
        let wire = layer.wire.clone();
        *waiting.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(layer);
        Ok(wire)
    }

    /// The word for what is on disk, and its room.
    pub(crate) fn room(&self) -> Option<(&'static str, Result<Room, StorageError>)> {
        self.storage.room()
    }

    /// Gives a waiting sandbox to the one who asked.
    pub(crate) async fn hand_out(
        &self,
        waiting: Waiting,
        spec: SandboxSpec,
        birth: Birth,
        promise: Promise,
        begin: Instant,
    ) -> Result<Sandbox, CreateError> {
        let Waiting {
            slot,
            made,
            socket,
            mut environment,
            template,
            held: _,
            gauge,
            owner: _,
        } = waiting;
        let resolver = match self.internet.get() {
            Some(internet) => internet.serve(made.resolver)?,
            None => None,
        };
        let agent = AgentClient::with_limits(socket, (&self.settings.agent).into());
        let Birth { id, variables } = birth;
        environment.extend(variables);
        if !environment.is_empty() {
            let env_vars = Some(environment);
            agent
                .init(&InitRequest {
                    env_vars,
                    ..InitRequest::default()
                })
                .await?;
        }
        let note = Note {
            id: id.clone(),
            template: spec.template.clone(),
        };
        slot.note(serde_json::to_string(&note).unwrap_or_default());
        let mut phases = Phases::default();
        for (step, micros) in &made.phases {
            phases.push(step, *micros);
        }
        let total = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        phases.push("engine", total.saturating_sub(phases.total()));
        Ok(Sandbox::new(
            id,
            spec,
            made.pid,
            phases,
            agent,
            (slot, gauge),
            Kept {
                _resolver: resolver,
                _template: template,
                _promise: promise,
                memory_kills: Arc::clone(&self.memory_kills),
                pause_timeout: self.settings.spawner.pause_timeout,
            },
        ))
    }

    /// Makes sure that the walls stand before a sandbox with internet is made.
    pub(crate) async fn check_walls(&self, network: NetworkMode) -> Result<(), InternetError> {
        match network {
            NetworkMode::None => Ok(()),
            NetworkMode::Internet => self.internet().await?.check().await,
        }
    }

    /// Makes nothing more, ends everything and gives all of it back.
    pub(crate) async fn stop(&self) {
        self.creates.close();
        let limit = self.settings.spawner.destroy_timeout;
        if tokio::time::timeout(limit, self.keeper.stop())
            .await
            .is_err()
        {
            tracing::warn!(
                ?limit,
                "sandboxes do not end; the next engine reclaims what is left"
            );
        }
        if let Some(internet) = self.internet.get() {
            internet.stop().await;
        }
        let storage = Arc::clone(&self.storage);
        let _ = tokio::task::spawn_blocking(move || storage.stop()).await;
    }
}

/// Whether an engine with these ids may make links to the host's network.
fn may_connect(ids: Ids) -> bool {
    matches!(ids, Ids::Machine { .. })
}

/// Takes one that is made of its template as that is now; those that are not are ended.
fn take_current(pool: &Pool<Waiting>) -> Option<Waiting> {
    std::iter::from_fn(|| pool.take()).find(Waiting::is_current)
}

fn wire_network(network: NetworkMode) -> Network {
    match network {
        NetworkMode::None => Network::None,
        NetworkMode::Internet => Network::Internet,
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
