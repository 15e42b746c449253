//! Where sandboxes' writes go: one role, [`Storage`], and its means.
//!
//! | Means | File | The limit is kept by | Its room comes from |
//! |---|---|---|---|
//! | memory | [`memory`] | the size of a tmpfs | the sandbox's memory |
//! | subvolumes | [`btrfs`], [`pool_file`] | a quota group each, one above all | the disk |
//! | projects | [`project`] | a project quota each | the disk |
//!
//! [`choice`] says which one a sandbox gets, [`remover`] gives layers back off the path of those
//! who end sandboxes.

pub mod btrfs;
pub mod choice;
pub mod gauge;
pub mod memory;
pub mod pool_file;
pub mod project;
pub mod remover;

pub use choice::Choice;
pub use gauge::Gauge;

use rustix::fd::BorrowedFd;
use serde::{Deserialize, Serialize};
use soulbox_model::{ByteSize, Limits};
use soulbox_wire::spawner;
use std::collections::HashSet;
use std::path::PathBuf;

/// Writes that have nowhere to go.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The pool's file cannot be made or used.
    #[error(transparent)]
    PoolFile(#[from] pool_file::PoolFileError),
    /// Too little is left for all sandboxes together.
    #[error(
        "the room for all sandboxes is full: {} MiB of {} MiB are left, less than the {reserve} that \
         settings keep (storage.reserve); end sandboxes, or enlarge it (storage.size)",
        left.bytes() >> 20, total.bytes() >> 20
    )]
    Full {
        /// What is left.
        left: ByteSize,
        /// What there is.
        total: ByteSize,
        /// What must be left for another sandbox.
        reserve: ByteSize,
    },
    /// Linux turned the file system off for writing.
    #[error(
        "the file system of {0:?} no longer takes writes, after an error of its disk; \
         see Linux's log, end all engines and start again"
    )]
    ReadOnly(PathBuf),
    /// What was asked for does not fit in memory, and there is nothing on disk.
    #[error(
        "a disk of {disk} does not fit in three quarters of the sandbox's memory ({memory}), and \
         nothing on this host limits one on disk: {why}; ask for less, or set storage.backend"
    )]
    NoDisk {
        /// What was asked for.
        disk: ByteSize,
        /// The sandbox's memory.
        memory: ByteSize,
        /// Why there is nothing on disk.
        why: String,
    },
    /// No project quota is kept.
    #[error(
        "the file system of {0:?} keeps no project quota; mount it with `prjquota`, \
         or choose another storage.backend"
    )]
    NoProjectQuota(PathBuf),
    /// Linux refused a step.
    #[error("cannot {step}")]
    Step {
        /// What was being done, and on what.
        step: String,
        /// Linux's error.
        #[source]
        source: std::io::Error,
    },
}

/// Names a step that Linux refused.
pub(crate) fn step<E: Into<std::io::Error>>(
    step: impl Into<String>,
) -> impl FnOnce(E) -> StorageError {
    let step = step.into();
    move |error| StorageError::Step {
        step,
        source: error.into(),
    }
}

/// How much room there is for all sandboxes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of it, in bytes.
    pub total: u64,
    /// What is left.
    pub left: u64,
}

impl Room {
    /// Refuses another sandbox while less than `reserve` is left.
    fn keep(self, reserve: ByteSize) -> Result<(), StorageError> {
        match self.left < reserve.bytes() {
            true => Err(StorageError::Full {
                left: ByteSize(self.left),
                total: ByteSize(self.total),
                reserve,
            }),
            false => Ok(()),
        }
    }
}

/// A place for writable layers with limits that hold.
pub trait Storage: Send + Sync {
    /// Its word in settings.
    fn name(&self) -> &'static str;

    /// Makes the writable layer of a sandbox in `slot`. May wait for the disk.
    ///
    /// # Errors
    /// [`StorageError`]; nothing stays.
    fn allot(&self, slot: u32, limits: &Limits) -> Result<Layer, StorageError>;

    /// The layer that a sandbox in `slot` has, which an engine before this one made.
    fn adopt(&self, slot: u32, mark: &LayerMark, limits: &Limits) -> Layer;

    /// Removes what the engine's place holds besides the layers `kept`. May wait for the disk.
    fn sweep_own(&self, kept: &HashSet<String>);

    /// The room for all sandboxes.
    ///
    /// # Errors
    /// [`StorageError`].
    fn room(&self) -> Result<Room, StorageError>;

    /// A mount that the spawner has to see as [`spawner::STORAGE`].
    fn mount(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Leaves nothing of the engine's own behind, after all layers were given back.
    fn close(&self) {}

    /// Has the room of layers that were given back come free. Returns whether that goes on in the
    /// background, so that it should be asked again later.
    fn settle(&self) -> bool {
        false
    }
}

/// By what a layer is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMark {
    /// Its name in its engine's place: `<slot>-<number>`.
    pub name: String,
    /// The number of its subvolume; 0 where it is none.
    pub id: u64,
}

/// The number in a layer's name; none when it is no such name.
fn number_of(name: &str) -> Option<u64> {
    let (slot, number) = name.split_once('-')?;
    slot.parse::<u32>().ok()?;
    number.parse().ok()
}

/// What gives a layer back.
type Undo = Box<dyn FnOnce() + Send>;

/// The writable layer of one sandbox. Dropping it gives it back, which may wait for the disk.
pub struct Layer {
    /// What the spawner is told.
    pub wire: spawner::Storage,
    /// Tells whether it is full.
    pub gauge: Gauge,
    /// By what an engine that comes later finds it; none where nothing stays of it.
    pub mark: Option<LayerMark>,
    undo: Option<Undo>,
}

impl Layer {
    /// Whether giving it back takes work.
    pub fn lasts(&self) -> bool {
        self.undo.is_some()
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo();
        }
    }
}
