//! Writable layers as directories with a project quota, on ext4 or XFS.

use super::memory::inodes;
use super::{Gauge, Layer, LayerMark, Room, Storage, StorageError, number_of, step};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstatvfs};
use rustix::io::Errno;
use soulbox_image::remove::remove_tree;
use soulbox_model::{ByteSize, Limits};
use soulbox_settings::Backend;
use soulbox_syscall::project;
use soulbox_wire::spawner;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The project of slot 0; each slot has its own. Administrators number theirs from 1.
const PROJECTS: u32 = 0x7000_0000;

/// What is tried to see whether a limit holds, in bytes.
const PROBE_LIMIT: u64 = 64 * 1024;
const PROBE: u64 = 1024 * 1024;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Directories of one engine.
pub struct Project {
    place: PathBuf,
    root: OwnedFd,
    number: AtomicU64,
    reserve: ByteSize,
}

impl Project {
    /// Uses `place`, a directory of the engine's own, after a limit was seen to hold there.
    ///
    /// # Errors
    /// [`StorageError::NoProjectQuota`] where none holds.
    pub fn open(place: &Path, reserve: ByteSize) -> Result<Self, StorageError> {
        let root = rustix::fs::open(place, DIRECTORY, Mode::empty())
            .map_err(step(format!("open {place:?}")))?;
        let storage = Self {
            place: place.to_owned(),
            root,
            number: AtomicU64::new(0),
            reserve,
        };
        match storage.holds() {
            Ok(true) => Ok(storage),
            Ok(false) | Err(_) => Err(StorageError::NoProjectQuota(place.to_owned())),
        }
    }

    /// Whether Linux keeps a limit: counting without enforcing looks the same from outside.
    fn holds(&self) -> Result<bool, Errno> {
        // The owners' slot, which never has a layer; engines that try at the same time try the
        // same.
        let name = "probe";
        let directory = self.make(name, PROJECTS, PROBE_LIMIT)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, "file", flags, Mode::from(0o600));
        let tried = file.and_then(|file| fallocate(file, FallocateFlags::empty(), 0, PROBE));
        remove(&self.place.join(name));
        let _ = project::limit(self.root.as_fd(), PROJECTS, 0, 0);
        Ok(matches!(tried, Err(Errno::DQUOT | Errno::NOSPC)))
    }

    /// Makes a directory with a limit; nothing stays when that fails.
    fn make(&self, name: &str, number: u32, size: u64) -> Result<OwnedFd, Errno> {
        rustix::fs::mkdirat(&self.root, name, Mode::from(0o700))?;
        let made = rustix::fs::openat(&self.root, name, DIRECTORY, Mode::empty());
        let limited = made.and_then(|directory| {
            project::assign(directory.as_fd(), number)?;
            project::limit(directory.as_fd(), number, size, inodes(size))?;
            Ok(directory)
        });
        if limited.is_err() {
            remove(&self.place.join(name));
        }
        limited
    }
}

impl Project {
    fn layer(&self, slot: u32, mark: LayerMark) -> Layer {
        let path = self.place.join(&mark.name);
        let number = PROJECTS + slot;
        // Without it the limit stays, on a project that has no files any more.
        let root = self.root.try_clone().ok();
        Layer {
            wire: spawner::Storage::Directory {
                path: path.to_string_lossy().into_owned(),
            },
            gauge: Gauge::FileSystem,
            mark: Some(mark),
            undo: Some(Box::new(move || {
                remove(&path);
                if let Some(root) = root {
                    let _ = project::limit(root.as_fd(), number, 0, 0);
                }
            })),
        }
    }
}

impl Storage for Project {
    fn name(&self) -> &'static str {
        Backend::ProjectQuota.as_str()
    }

    fn allot(&self, slot: u32, limits: &Limits) -> Result<Layer, StorageError> {
        self.room()?.keep(self.reserve)?;
        let name = format!("{slot}-{}", self.number.fetch_add(1, Ordering::Relaxed));
        let path = self.place.join(&name);
        let number = PROJECTS + slot;
        self.make(&name, number, limits.disk.bytes())
            .map_err(step(format!(
                "make the directory {path:?} with a project quota"
            )))?;
        Ok(self.layer(slot, LayerMark { name, id: 0 }))
    }

    fn adopt(&self, slot: u32, mark: &LayerMark, _: &Limits) -> Layer {
        self.layer(slot, mark.clone())
    }

    fn sweep_own(&self, kept: &HashSet<String>) {
        let next = kept.iter().filter_map(|name| number_of(name)).max();
        self.number
            .fetch_max(next.map_or(0, |number| number + 1), Ordering::Relaxed);
        for name in crate::workplace::names(&self.place) {
            // Not the limit: another layer of the slot may have it now.
            if number_of(&name).is_some() && !kept.contains(&name) {
                remove(&self.place.join(name));
            }
        }
    }

    fn room(&self) -> Result<Room, StorageError> {
        let about = fstatvfs(&self.root).map_err(step(format!("look at {:?}", self.place)))?;
        Ok(Room {
            total: about.f_blocks.saturating_mul(about.f_frsize),
            left: about.f_bavail.saturating_mul(about.f_frsize),
        })
    }
}

/// Removes what a sandbox wrote; the next engine tries again where that fails.
fn remove(path: &Path) {
    if let Err(error) = remove_tree(path) {
        tracing::warn!(?path, %error, "cannot remove the writable layer of a sandbox");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_project_quotas_is_told_and_nothing_stays() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let opened = Project::open(place.path(), ByteSize(0));
        assert!(matches!(opened, Err(StorageError::NoProjectQuota(_))));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
