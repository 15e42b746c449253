//! Keeps a spawner for the engine: starts it, and another one when it was lost.

use crate::lease::{Holder, Table};
use crate::node::NodeError;
use crate::past::Past;
use crate::reclaim;
use crate::storage::Choice;
use crate::workplace::{Workplace, WorkplaceError, remove_file};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use soulbox_runtime::native::driver::{DriverError, NativeDriver};
use soulbox_runtime::native::journal::FILES;
use soulbox_wire::spawner::Init;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long to wait after a spawner could not be replaced, until the next try that nobody asked
/// for.
const RETRY: Duration = Duration::from_secs(5);

/// A spawner and its name in the table of slots.
pub(crate) struct Spawner {
    /// The way to it.
    pub(crate) driver: NativeDriver,
    /// Who holds its slots.
    pub(crate) holder: Holder,
    journal: [PathBuf; FILES],
}

/// Keeps a spawner.
pub(crate) struct Keeper {
    init: Init,
    start_timeout: Duration,
    workplace: Arc<Workplace>,
    table: Arc<Table>,
    past: Past,
    storage: Arc<Choice>,
    current: Mutex<Arc<Spawner>>,
    /// The number of the current spawner; held while it is replaced.
    turn: tokio::sync::Mutex<u32>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts a spawner, or goes on with one that was taken over, and replaces it whenever it is
    /// lost from now on.
    pub(crate) async fn start(
        init: Init,
        start_timeout: Duration,
        (workplace, table): (Arc<Workplace>, Arc<Table>),
        past: Past,
        storage: Arc<Choice>,
        attached: Option<NativeDriver>,
    ) -> Result<Arc<Self>, NodeError> {
        let number = workplace.latest_spawner();
        let first = match attached {
            Some(driver) => Spawner::of(driver, workplace.journal(number))?,
            None => spawn(&init, number, start_timeout, &storage, &workplace).await?,
        };
        let keeper = Arc::new(Self {
            init,
            start_timeout,
            workplace,
            table,
            past,
            storage,
            current: Mutex::new(Arc::new(first)),
            turn: tokio::sync::Mutex::new(number),
            watch: Mutex::default(),
        });
        let watch = tokio::spawn(watch(Arc::downgrade(&keeper)));
        *lock(&keeper.watch) = Some(watch);
        Ok(keeper)
    }

    fn current(&self) -> Arc<Spawner> {
        Arc::clone(&lock(&self.current))
    }

    /// The spawner; another one when it was lost, after what it left is cleared away.
    pub(crate) async fn get(&self) -> Result<Arc<Spawner>, NodeError> {
        let current = self.current();
        if !current.driver.is_lost() {
            return Ok(current);
        }
        let mut number = self.turn.lock().await;
        let lost = self.current();
        if !lost.driver.is_lost() {
            return Ok(lost);
        }
        tracing::error!("the spawner was lost, and every sandbox with it; starting another one");
        self.clear(&lost).await?;
        let next = *number + 1;
        let (limit, storage) = (self.start_timeout, &self.storage);
        let spawner = spawn(&self.init, next, limit, storage, &self.workplace).await?;
        *number = next;
        let spawner = Arc::new(spawner);
        *lock(&self.current) = Arc::clone(&spawner);
        lost.journal.iter().for_each(|path| remove_file(path));
        Ok(spawner)
    }

    /// Clears away what a lost spawner left.
    async fn clear(&self, lost: &Spawner) -> Result<(), NodeError> {
        lost.driver.bury().await;
        let (table, past) = (Arc::clone(&self.table), self.past.clone());
        let (holder, journal) = (lost.holder, lost.journal.clone());
        let (engine, cgroup) = (self.workplace.name().to_owned(), self.init.cgroup.clone());
        let cleared = tokio::task::spawn_blocking(move || {
            reclaim::lost_spawner((holder, &engine), &journal, &table, &cgroup, &past)
        });
        Ok(cleared.await.map_err(|_| DriverError::SpawnerGone)??)
    }

    /// Ends every sandbox and the spawner, and waits until all is given back.
    pub(crate) async fn stop(&self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
        let _turn = self.turn.lock().await;
        let current = self.current();
        let stopped = current.driver.stop().await;
        if !stopped && let Err(error) = self.clear(&current).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "the next engine clears away what a lost spawner left"
            );
        }
    }
}

impl Keeper {
    /// Leaves what runs to the next engine.
    pub(crate) async fn leave(&self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
        let _turn = self.turn.lock().await;
        self.current().driver.leave().await;
    }

    /// Nobody may end what runs any more.
    pub(crate) fn abandon(&self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
        self.current().driver.abandon();
    }

    /// The files of the spawner's journal.
    pub(crate) fn journal(&self) -> [PathBuf; FILES] {
        self.current().journal.clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
    }
}

/// Replaces spawners that are lost, so that what they left goes and the pools fill up again
/// without anybody asking for a sandbox.
async fn watch(keeper: std::sync::Weak<Keeper>) {
    while let Some(lost) = keeper.upgrade().map(|keeper| keeper.current()) {
        lost.driver.lost().await;
        drop(lost);
        let Some(keeper) = keeper.upgrade() else {
            return;
        };
        if !replaced(&keeper).await {
            drop(keeper);
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn replaced(keeper: &Keeper) -> bool {
    let replaced = keeper.get().await;
    if let Err(error) = &replaced {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, "cannot start another spawner");
    }
    replaced.is_ok()
}

impl Spawner {
    fn of(driver: NativeDriver, journal: [PathBuf; FILES]) -> Result<Self, DriverError> {
        let holder = driver
            .spawner_pid()
            .and_then(Holder::of)
            .ok_or(DriverError::SpawnerGone)?;
        Ok(Self {
            driver,
            holder,
            journal,
        })
    }
}

/// Starts the spawner number `number` of an engine.
async fn spawn(
    init: &Init,
    number: u32,
    limit: Duration,
    storage: &Choice,
    workplace: &Workplace,
) -> Result<Spawner, NodeError> {
    let journal = workplace.journal(number);
    let files = open(&journal)?;
    let lasting = match init.lasting {
        true => meeting_place(workplace)?,
        false => Vec::new(),
    };
    let starting = NativeDriver::start(init.clone(), files, storage.mount(), lasting);
    let driver = tokio::time::timeout(limit, starting)
        .await
        .map_err(|_| NodeError::Timeout(limit))??;
    Ok(Spawner::of(driver, journal)?)
}

/// What a spawner needs that lasts: where engines will find it, and what they are known to live by.
fn meeting_place(workplace: &Workplace) -> Result<Vec<OwnedFd>, WorkplaceError> {
    let path = workplace.meeting_place();
    let socket = NativeDriver::meeting_place(&path).map_err(|errno| WorkplaceError {
        path,
        source: errno.into(),
    })?;
    let mut all = vec![socket];
    all.extend(workplace.copy_locks()?);
    Ok(all)
}

/// Makes the empty files of a journal.
fn open(journal: &[PathBuf; FILES]) -> Result<[OwnedFd; FILES], WorkplaceError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let open = |path: &PathBuf| {
        rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::from(0o600)).map_err(|errno| {
            WorkplaceError {
                path: path.clone(),
                source: errno.into(),
            }
        })
    };
    let [even, odd] = journal;
    Ok([open(even)?, open(odd)?])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
