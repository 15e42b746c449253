//! What creates need, shared by those who ask and by the refilling of the pools.

mod adopt;
mod defaults;
mod keep;
mod make;
mod places;
pub(crate) mod start;
mod waiting;

pub(crate) use make::Ground;
pub(crate) use waiting::Waiting;

use crate::calm::Calm;
use crate::ceiling::{Machine, Promise, Promises};
use crate::hogs::Watch;
use crate::internet::{Internet, InternetError};
use crate::keeper::Keeper;
use crate::lease::{ID_BASE, Table};
use crate::limits::limits_disks;
use crate::memory_kill::MemoryKills;
use crate::node::{CreateError, NodeError};
use crate::orphan::{self, Orphan};
use crate::past::Past;
use crate::storage::{Choice, Room, StorageError};
use crate::tree_source::{self, TreeSource};
use crate::workplace::Workplace;
use crate::zygotes::Zygotes;
use places::{Making, Places};
use soulbox_model::{Limits, NetworkMode};
use soulbox_runtime::native::driver::Held;
use soulbox_runtime::native::rights;
use soulbox_settings::Settings;
use soulbox_wire::spawner::{GENERATION, Ids, Init};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{OnceCell, Semaphore};

/// The name of the cgroup below which each slot has one.
const CGROUP: &str = "soulbox";

/// What creates need; shared with the refilling of the pools.
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    pub(crate) ids: Ids,
    /// Whether sandboxes go on when the engine is gone.
    pub(crate) lasting: bool,
    not_enforced: Vec<String>,
    keeper: Arc<Keeper>,
    table: Arc<Table>,
    workplace: Arc<Workplace>,
    storage: Arc<Choice>,
    pub(crate) creates: Semaphore,
    pub(crate) calm: Calm,
    pub(crate) places: Places,
    trees: TreeSource,
    pub(crate) zygotes: Zygotes,
    internet: OnceCell<Internet>,
    pub(crate) most_sandboxes: u32,
    promises: Promises,
    past: Past,
    memory_kills: Arc<MemoryKills>,
    _hogs: Option<Watch>,
}

impl Core {
    /// Reclaims what dead engines left and starts the spawner; or takes over the one of a dead
    /// engine that lasted, if this one is to last too, and tells what runs.
    pub(crate) async fn start(
        settings: Arc<Settings>,
        lasting: bool,
    ) -> Result<(Self, Vec<Held>), NodeError> {
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
        let limit = settings.spawner.start_timeout;
        let orphan = match lasting {
            true => orphan::find(places, limit).await?,
            false => None,
        };
        crate::reclaim::dead_engines(places, &table, CGROUP)?;
        let (machine_dir, run_dir, data_dir) = places;
        let (workplace, driver, held) = match orphan {
            Some(Orphan {
                workplace,
                driver,
                held,
            }) => (workplace, Some(driver), held),
            None => {
                let workplace = Workplace::make(machine_dir, run_dir, data_dir)?;
                (workplace, None, Vec::new())
            }
        };
        let workplace = Arc::new(workplace);
        let storage = Arc::new(Choice::open(&settings, &workplace)?);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let machine = Machine::this();
        let ceiling = machine.ceiling(&settings.node);
        let mut roots = vec![text(&paths.data_dir), tree_source::HOST_TREE.to_owned()];
        let templates = crate::template::directory(&paths.data_dir);
        if !templates.starts_with(&paths.data_dir) {
            roots.push(text(&templates));
        }
        // Before the spawner, which inherits it.
        crate::ceiling::spare_engine();
        let init = Init {
            generation: GENERATION,
            roots,
            scratch: text(workplace.scratch()),
            cgroup: CGROUP.to_owned(),
            ids,
            subnet: settings.network.subnet.to_string(),
            ceiling,
            limit_io: limits_disks(&settings.sandbox.limits()),
            assign_processors: settings.node.hold_hogs && may_connect(ids),
            storage: storage.mount().is_some(),
            lasting,
        };
        let (place, slots) = (Arc::clone(&workplace), Arc::clone(&table));
        let past = Past::new(machine_dir);
        let hogs = (settings.node.hold_hogs && may_connect(ids))
            .then(|| Watch::begin(CGROUP, machine_dir.join("hogs.lock")));
        let keeper = Keeper::start(
            init,
            limit,
            (place, slots),
            past.clone(),
            Arc::clone(&storage),
            driver,
        )
        .await?;
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
        let core = Self {
            settings,
            ids,
            lasting,
            not_enforced,
            keeper,
            table,
            workplace,
            storage,
            creates,
            calm,
            places: Places::default(),
            trees,
            zygotes: Zygotes::default(),
            internet: OnceCell::new(),
            most_sandboxes,
            promises,
            past,
            memory_kills: Arc::new(MemoryKills::follow()),
            _hogs: hogs,
        };
        core.workplace.last(lasting);
        Ok((core, held))
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

    /// The walls and the resolver, which the first sandbox with internet brings up.
    async fn internet(&self) -> Result<&Internet, InternetError> {
        self.internet
            .get_or_try_init(|| Internet::start(&self.settings))
            .await
    }

    /// Waits until something may be made that will only wait.
    pub(crate) async fn rest(&self) -> Making<'_> {
        loop {
            self.places.come().await;
            self.calm.come().await;
            let making = self.places.begin();
            if !self.places.are_lacking() {
                return making;
            }
        }
    }

    /// Promises a sandbox its memory.
    pub(crate) fn promise(&self, limits: &Limits) -> Result<Promise, CreateError> {
        Ok(self.promises.make(limits)?)
    }

    /// The word for what is on disk, and its room.
    pub(crate) fn room(&self) -> Option<(&'static str, Result<Room, StorageError>)> {
        self.storage.room()
    }

    /// Makes sure that the walls stand before a sandbox with internet is made.
    pub(crate) async fn check_walls(&self, network: NetworkMode) -> Result<(), InternetError> {
        match network {
            NetworkMode::None => Ok(()),
            NetworkMode::Internet => self.internet().await?.check().await,
        }
    }

    /// Makes nothing more and leaves everything that somebody was given to the next engine.
    pub(crate) async fn leave(&self) {
        self.creates.close();
        self.zygotes.close().await;
        self.keeper.leave().await;
        if let Some(internet) = self.internet.get() {
            internet.leave();
        }
        let storage = Arc::clone(&self.storage);
        let _ = tokio::task::spawn_blocking(move || storage.pause()).await;
    }

    /// Nobody may end sandboxes from now on that can be left to the next engine.
    pub(crate) fn abandon(&self) {
        if self.lasting {
            self.keeper.abandon();
        }
    }

    /// Makes nothing more, ends everything and gives all of it back.
    pub(crate) async fn stop(&self) {
        self.workplace.last(false);
        self.creates.close();
        self.zygotes.close().await;
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
