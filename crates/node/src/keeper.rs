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
    /// Starts a spawner, and replaces it whenever it is lost from now on.
    pub(crate) async fn start(
        init: Init,
        start_timeout: Duration,
        (workplace, table): (Arc<Workplace>, Arc<Table>),
        past: Past,
        storage: Arc<Choice>,
    ) -> Result<Arc<Self>, NodeError> {
        let first = spawn(&init, workplace.journal(0), start_timeout, &storage).await?;
        let keeper = Arc::new(Self {
            init,
            start_timeout,
            workplace,
            table,
            past,
            storage,
            current: Mutex::new(Arc::new(first)),
            turn: tokio::sync::Mutex::new(0),
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
        let spawner = spawn(
            &self.init,
            self.workplace.journal(next),
            self.start_timeout,
            &self.storage,
        )
        .await?;
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
        current.driver.stop().await;
        if current.driver.is_lost()
            && let Err(error) = self.clear(&current).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "the next engine clears away what a lost spawner left"
            );
        }
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

async fn spawn(
    init: &Init,
    journal: [PathBuf; FILES],
    limit: Duration,
    storage: &Choice,
) -> Result<Spawner, NodeError> {
    let files = open(&journal)?;
    let starting = NativeDriver::start(init.clone(), files, storage.mount());
    let driver = tokio::time::timeout(limit, starting)
        .await
        .map_err(|_| NodeError::Timeout(limit))??;
    let holder = driver
        .spawner_pid()
        .and_then(Holder::of)
        .ok_or(DriverError::SpawnerGone)?;
    Ok(Spawner {
        driver,
        holder,
        journal,
    })
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
