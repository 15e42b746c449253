//! Which storage a sandbox gets.

use super::btrfs::Btrfs;
use super::project::Project;
use super::remover::{Remover, Way};
use super::{Layer, LayerMark, Room, Storage, StorageError, memory, step};
use crate::workplace::Workplace;
use rustix::fd::BorrowedFd;
use soulbox_model::Limits;
use soulbox_settings::{Backend, Settings};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// What is on disk.
enum Disk {
    /// Nothing was asked for.
    Unused,
    /// Nothing can be had; why not.
    Absent(String),
    /// This.
    There(Arc<dyn Storage>, Remover),
}

/// The storages of an engine.
pub struct Choice {
    backend: Backend,
    disk: Disk,
}

impl Choice {
    /// Opens what the settings ask for. May wait for the disk.
    ///
    /// # Errors
    /// [`StorageError`] when a backend was named that cannot be had.
    pub fn open(settings: &Settings, workplace: &Workplace) -> Result<Self, StorageError> {
        let backend = settings.storage.backend;
        let project = || open_project(settings, workplace.data());
        let btrfs = || open_btrfs(settings, workplace.data());
        let disk = match backend {
            Backend::Memory => Disk::Unused,
            Backend::Auto if fits_in_memory(&settings.sandbox.limits()) => Disk::Unused,
            Backend::Auto => match project().or_else(|_| btrfs()) {
                Ok(storage) => there(storage)?,
                Err(error) => Disk::Absent(words(&error)),
            },
            Backend::Btrfs => there(btrfs()?)?,
            Backend::ProjectQuota => there(project()?)?,
        };
        Ok(Self { backend, disk })
    }

    /// Whether [`Choice::allot`] does not wait for the disk with these limits.
    pub fn is_instant(&self, limits: &Limits) -> bool {
        match self.backend {
            Backend::Memory => true,
            Backend::Auto => fits_in_memory(limits),
            Backend::Btrfs | Backend::ProjectQuota => false,
        }
    }

    /// Makes the writable layer of a sandbox in `slot`. May wait for the disk.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn allot(&self, slot: u32, limits: &Limits) -> Result<Layer, StorageError> {
        match (&self.disk, self.backend) {
            (_, Backend::Memory) => Ok(memory::layer(limits)),
            (_, Backend::Auto) if fits_in_memory(limits) => Ok(memory::layer(limits)),
            (Disk::There(storage, _), _) => storage.allot(slot, limits),
            (Disk::Unused, _) => Err(no_disk(limits, "the engine was started without one")),
            (Disk::Absent(why), _) => Err(no_disk(limits, why)),
        }
    }

    /// The layer that a sandbox in `slot` has, which an engine before this one made. Of one on a
    /// disk that this engine does not use, only the next engines give back what is there.
    pub fn adopt(&self, slot: u32, mark: Option<&LayerMark>, limits: &Limits) -> Layer {
        match (&self.disk, mark) {
            (Disk::There(storage, _), Some(mark)) => storage.adopt(slot, mark, limits),
            _ => memory::layer(limits),
        }
    }

    /// Removes what the engine's place holds besides the layers `kept`. May wait for the disk.
    pub fn sweep_own(&self, kept: &HashSet<String>) {
        if let Disk::There(storage, _) = &self.disk {
            storage.sweep_own(kept);
        }
    }

    /// Waits until all that was given back is gone, and leaves the rest to the next engine. May
    /// wait for the disk.
    pub fn pause(&self) {
        if let Disk::There(_, remover) = &self.disk {
            remover.stop();
        }
    }

    /// The word for what is on disk, and its room; none when nothing is used there.
    pub fn room(&self) -> Option<(&'static str, Result<Room, StorageError>)> {
        match &self.disk {
            Disk::There(storage, _) => Some((storage.name(), storage.room())),
            Disk::Unused | Disk::Absent(_) => None,
        }
    }

    /// A mount that the spawner has to see.
    pub fn mount(&self) -> Option<BorrowedFd<'_>> {
        match &self.disk {
            Disk::There(storage, _) => storage.mount(),
            Disk::Unused | Disk::Absent(_) => None,
        }
    }

    /// Who gives layers on disk back.
    pub fn remover(&self) -> Option<Way> {
        match &self.disk {
            Disk::There(_, remover) => Some(remover.way()),
            Disk::Unused | Disk::Absent(_) => None,
        }
    }

    /// Waits until all that was given back is gone. May wait for the disk.
    pub fn stop(&self) {
        if let Disk::There(storage, remover) = &self.disk {
            remover.stop();
            storage.close();
        }
    }
}

/// Whether a disk that was asked for fits in the sandbox's own memory.
fn fits_in_memory(limits: &Limits) -> bool {
    limits.disk.bytes() <= memory::most(limits)
}

fn there(storage: Arc<dyn Storage>) -> Result<Disk, StorageError> {
    let remover = Remover::start(Arc::clone(&storage)).map_err(step("start a thread"))?;
    Ok(Disk::There(storage, remover))
}

fn open_project(settings: &Settings, place: &Path) -> Result<Arc<dyn Storage>, StorageError> {
    let storage = Project::open(place, settings.storage.reserve)?;
    Ok(Arc::new(storage))
}

fn open_btrfs(settings: &Settings, place: &Path) -> Result<Arc<dyn Storage>, StorageError> {
    let storage = Btrfs::open(&settings.paths.data_dir, place, &settings.storage)?;
    Ok(Arc::new(storage))
}

fn no_disk(limits: &Limits, why: &str) -> StorageError {
    StorageError::NoDisk {
        disk: limits.disk,
        memory: limits.memory,
        why: why.to_owned(),
    }
}

/// An error with its causes in one line.
fn words(error: &StorageError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
