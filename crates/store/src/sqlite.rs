//! A store in a file, for one machine.
//!
//! One thread writes, two read beside it. Who writes waits for the disk together with all who came
//! meanwhile: one `fsync` for all of them.
//!
//! | What | File |
//! |---|---|
//! | the directory, its lock, the log's place on the disk | `files` |
//! | connections, tables, their versions | `schema` |
//! | reading | `reader` |
//! | the thread that writes | `writer` |
//! | one commit for many | `group` |
//! | one transaction in it | `apply` |
//! | what is left when the disk is full | `room` |
//! | when leases end | `lease` |
//! | copies | `backup` |

mod apply;
mod backup;
mod files;
mod group;
mod lease;
mod reader;
mod room;
mod schema;
mod writer;

pub use backup::BackupError;

use crate::bounds;
use crate::clock::{Clock, Monotonic};
use crate::entry::{Entry, LeaseId, Revision};
use crate::history::{self, History};
use crate::key::{self, Span};
use crate::range::{Page, Range};
use crate::store::{StateStore, StoreError};
use crate::transaction::{Outcome, Transaction};
use crate::watch::{Watch, WatchError};
use files::Files;
use futures_util::future::BoxFuture;
use reader::{Read, Reads};
use room::{Room, RoomError};
use rusqlite::Connection;
use soulbox_settings::Store as Settings;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use writer::{Answer, Job, Order, Writer};

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be used.
    #[error("the store in {path} cannot be used: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else uses it.
    #[error(
        "the store in {path} is in use by process {holder}: stop that one, or name another data directory"
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The process, or `unknown`.
        holder: String,
    },
    /// The file is damaged.
    #[error(
        "the store {path} is damaged ({what}): look at the disk, move all files of its directory away, and put a backup there as store.db"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer program wrote it.
    #[error(
        "the store {path} has version {found}, this program knows up to {known}: start the newer program, or put back a backup from before"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// It is a file of SQLite, but of another program.
    #[error("{path} is not a store of soulbox: move it away")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk of the store {path} is full: make room on it, about 32 MiB")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// SQLite says why.
    #[error("the store {path} cannot be opened: {source}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A thread cannot be started.
    #[error("a thread of the store cannot be started: {0}")]
    Thread(io::Error),
}

/// How many read at once.
const READERS: usize = 2;

/// Reads that may wait; who brings one more waits to bring it.
const READS: usize = 256;

/// A store in a file.
///
/// [`SqliteStore::close`] leaves it whole without its log. One that is only dropped ends by itself
/// soon after; one that is killed finds everything acknowledged at its next start.
#[derive(Debug)]
pub struct SqliteStore {
    orders: mpsc::Sender<Order>,
    reads: mpsc::Sender<Read>,
    history: History,
}

impl SqliteStore {
    /// Opens the store in a directory, which is made if it is missing. Looks first whether it is
    /// whole, which takes about a second for a gigabyte.
    pub async fn open(directory: &Path, settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with_clock(directory, settings, Arc::new(Monotonic)).await
    }

    /// The same with another clock for leases.
    pub async fn open_with_clock(
        directory: &Path,
        settings: &Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let (directory, settings) = (directory.to_owned(), settings.clone());
        let opened = tokio::task::spawn_blocking(move || open(&directory, &settings, clock)).await;
        opened.map_err(|error| OpenError::Thread(io::Error::other(error)))?
    }

    /// Ends the leases whose time has come by the clock, and returns when that is on disk. They end
    /// without it, too; this is for those who move the clock.
    pub async fn look_at_clock(&self) -> Result<(), StoreError> {
        self.order(Order::Look).await
    }

    /// Copies the state of now into a new file, which is on disk when this returns.
    pub async fn backup(&self, to: &Path) -> Result<(), BackupError> {
        let to = to.to_owned();
        self.read(move |connection| backup::backup(connection, &to))
            .await?
    }

    /// Writes what waits, then closes the file. Everything after it answers [`StoreError::Closed`].
    pub async fn close(&self) {
        for _ in 0..READERS {
            let (done, closed) = oneshot::channel();
            if self.reads.send(Read::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
        }
        let (done, closed) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn order<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(order(answer)).await;
        sent.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Read::Do(Box::new(move |connection| {
            let _ = answer.send(read(connection));
        }));
        self.reads.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }
}

impl StateStore for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            key::check(key)?;
            let key = key.to_owned();
            let found = self
                .read(move |connection| reader::get(connection, &key))
                .await?;
            found.map_err(|error| reader::told(&error))
        })
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move {
            range.span.check()?;
            if let Some(after) = &range.after {
                key::check(after)?;
            }
            let page = self
                .read(move |connection| reader::range(connection, &range))
                .await?;
            page.map_err(|error| reader::told(&error))
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            transaction.check()?;
            self.order(|answer| Order::Write(Job::Transact(transaction, answer)))
                .await
        })
    }

    fn watch(
        &self,
        span: Span,
        after: Option<Revision>,
    ) -> BoxFuture<'_, Result<Watch, WatchError>> {
        Box::pin(async move { self.history.watch(span, after) })
    }

    fn grant(&self, time: Duration) -> BoxFuture<'_, Result<LeaseId, StoreError>> {
        Box::pin(async move {
            if !bounds::LEASE_SECONDS.contains(&time.as_secs()) {
                return Err(StoreError::Time(time));
            }
            self.order(|answer| Order::Write(Job::Grant(time, answer)))
                .await
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.order(move |answer| Order::Renew(lease, answer)))
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.order(move |answer| Order::Write(Job::End(lease, Some(answer)))))
    }
}

fn open(
    directory: &Path,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<SqliteStore, OpenError> {
    let files = Arc::new(Files::take(directory)?);
    let path = files.path().to_owned();
    let tell = |error| schema::told(&path, error);
    let connection = schema::open_writer(&files)?;
    let revision = schema::revision(&connection).map_err(tell)?;
    let leases = apply::leases(&connection).map_err(tell)?;
    let room = Room::begin(Arc::clone(&files), &connection, settings.reserve.bytes());
    let room = room.map_err(|error| match error {
        RoomError::File(error) => schema::told(&path, error),
        RoomError::Grow(source) => OpenError::Directory {
            path: path.clone(),
            source,
        },
    })?;
    let (publisher, history) = history::begin(revision, usize_of(settings.history));
    let writer = Writer {
        connection,
        files: Arc::clone(&files),
        room,
        leases: lease::Leases::begin(leases, clock.now()),
        publisher,
        revision,
        clock,
        logged: 0,
        broken: None,
    };
    let (reads, work) = mpsc::channel(READS);
    let work: Reads = Arc::new(Mutex::new(work));
    for _ in 0..READERS {
        let (connection, files) = (schema::open_reader(&path)?, Arc::clone(&files));
        let work = Arc::clone(&work);
        start("store-reader", move || {
            reader::work(connection, files, &work);
        })?;
    }
    let timer = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let timer = timer.map_err(OpenError::Thread)?;
    let (orders, work) = mpsc::channel(usize_of(settings.queue).max(1));
    start("store-writer", move || writer.work(work, &timer))?;
    Ok(SqliteStore {
        orders,
        reads,
        history,
    })
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop).map_err(OpenError::Thread)
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
