//! Writable layers as subvolumes of btrfs, each with a quota group that limits it, and all of them
//! in one that bounds their sum.
//!
//! ```text
//! <pool>/<engine>/<slot>-<number>/   a subvolume, quota group 0/<its id>, below group 1/0x50b
//! ```
//!
//! Linux counts data and metadata, so a layer's limit bounds its files too: an empty one costs
//! some 370 bytes. Btrfs has no limit of its own for the number of files.

use super::gauge::used;
use super::pool_file::PoolFile;
use super::{Gauge, Layer, LayerMark, Room, Storage, StorageError, number_of, step};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatVfsMountFlags, fstatfs, fstatvfs};
use rustix::io::Errno;
use soulbox_model::{ByteSize, Limits};
use soulbox_settings::{Backend, Storage as Settings};
use soulbox_syscall::btrfs;
use soulbox_wire::spawner;
use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `BTRFS_SUPER_MAGIC` of `linux/magic.h`.
const MAGIC: i64 = 0x9123_683E;

/// The quota group that holds all layers: a level above those of subvolumes, and a number that
/// nobody else is likely to have taken on a file system of the host.
const ALL_LEVEL: u16 = 1;
const ALL: u64 = 0x50B;

/// What of a pool's file is left to btrfs itself: a twentieth, at least this much.
const OWN_PART: u64 = 20;
const OWN_LEAST: u64 = 64 << 20;

/// Subvolumes of one engine.
pub struct Btrfs {
    shared: Arc<Shared>,
    /// Where engines' directories are.
    root: OwnedFd,
    /// The engine's own there.
    engine: String,
    /// The same directory as the spawner sees it.
    place: String,
    number: AtomicU64,
    /// The room for all sandboxes; none: what the file system has.
    total: Option<u64>,
    reserve: ByteSize,
    /// The pool's mount, where it is in a file of ours.
    mount: Option<OwnedFd>,
}

/// What giving layers back needs.
struct Shared {
    /// The engine's directory.
    directory: OwnedFd,
    /// `/sys/fs/btrfs/<id>/qgroups`.
    groups: PathBuf,
    /// Removed subvolumes whose quota groups are still there.
    removed: Mutex<Vec<u64>>,
}

impl Btrfs {
    /// Opens the pool of `data_dir` for the engine with the workplace `workplace`, and removes what
    /// engines left that have died.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(
        data_dir: &Path,
        workplace: &Path,
        settings: &Settings,
    ) -> Result<Self, StorageError> {
        let engine = workplace
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or("engine");
        let place = data_dir.join("storage");
        let (root, place, mount, total, _turn) = match own(data_dir, settings.backend)? {
            true => {
                let root = own_root(&place)?;
                let total = (settings.size.bytes() > 0).then_some(settings.size.bytes());
                (
                    root,
                    place.to_string_lossy().into_owned(),
                    None,
                    total,
                    None,
                )
            }
            false => {
                let pool = PoolFile::open(&place, settings.size)?;
                let root = open_directory(pool.mount.as_fd(), ".")
                    .map_err(step("open the pool of sandboxes' disks"))?;
                let total = pool.size - (pool.size / OWN_PART).max(OWN_LEAST);
                let place = spawner::STORAGE.to_owned();
                (root, place, Some(pool.mount), Some(total), Some(pool.turn))
            }
        };
        btrfs::enable_quota(root.as_fd()).map_err(step("turn quota groups on"))?;
        limit_all(root.as_fd(), total).map_err(step("limit all sandboxes' disks together"))?;
        let groups = groups(root.as_fd()).map_err(step("read the id of btrfs"))?;
        let removed = sweep(&root, &data_dir.join("sandboxes"));
        make_directory(&root, engine).map_err(step(format!("make the directory {engine}")))?;
        let directory = open_directory(root.as_fd(), engine)
            .map_err(step(format!("open the directory {engine}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                groups,
                removed: Mutex::new(removed),
            }),
            place: format!("{place}/{engine}"),
            root,
            engine: engine.to_owned(),
            number: AtomicU64::new(0),
            total,
            reserve: settings.reserve,
            mount,
        })
    }
}

impl Btrfs {
    fn layer(&self, mark: LayerMark, size: u64) -> Layer {
        let shared = Arc::clone(&self.shared);
        let mut full = vec![(shared.groups.join(format!("0_{}", mark.id)), size)];
        full.extend(self.total.map(|total| (shared.all(), total)));
        let LayerMark { name, id } = mark.clone();
        Layer {
            wire: spawner::Storage::Directory {
                path: format!("{}/{name}", self.place),
            },
            gauge: Gauge::Groups(full),
            mark: Some(mark),
            undo: Some(Box::new(move || shared.remove(&name, id))),
        }
    }
}

impl Storage for Btrfs {
    fn name(&self) -> &'static str {
        Backend::Btrfs.as_str()
    }

    fn allot(&self, slot: u32, limits: &Limits) -> Result<Layer, StorageError> {
        self.room()?.keep(self.reserve)?;
        let name = format!("{slot}-{}", self.number.fetch_add(1, Ordering::Relaxed));
        let size = limits.disk.bytes();
        let id = self
            .shared
            .make(&name, size)
            .map_err(step(format!("make the subvolume {name}")))?;
        Ok(self.layer(LayerMark { name, id }, size))
    }

    fn adopt(&self, _: u32, mark: &LayerMark, limits: &Limits) -> Layer {
        self.layer(mark.clone(), limits.disk.bytes())
    }

    fn sweep_own(&self, kept: &HashSet<String>) {
        let next = kept.iter().filter_map(|name| number_of(name)).max();
        self.number
            .fetch_max(next.map_or(0, |number| number + 1), Ordering::Relaxed);
        let shared = &self.shared;
        for name in names(&shared.directory) {
            if kept.contains(&name) {
                continue;
            }
            let id = open_directory(shared.directory.as_fd(), &name)
                .and_then(|layer| btrfs::subvolume_id(layer.as_fd()));
            shared.remove(&name, id.unwrap_or(0));
        }
    }

    fn room(&self) -> Result<Room, StorageError> {
        let about = fstatvfs(&self.root).map_err(step("look at the room of btrfs"))?;
        if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(StorageError::ReadOnly(self.place.clone().into()));
        }
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        Ok(match self.total {
            Some(total) => {
                let left = total.saturating_sub(used(&self.shared.all()).unwrap_or(0));
                Room {
                    total,
                    left: left.min(free),
                }
            }
            None => Room {
                total: about.f_blocks.saturating_mul(about.f_frsize),
                left: free,
            },
        })
    }

    fn mount(&self) -> Option<BorrowedFd<'_>> {
        self.mount.as_ref().map(AsFd::as_fd)
    }

    fn close(&self) {
        // What is still in it goes with the next engine.
        let _ = rustix::fs::unlinkat(&self.root, self.engine.as_str(), AtFlags::REMOVEDIR);
    }

    fn settle(&self) -> bool {
        self.shared.settle()
    }
}

impl Shared {
    fn make(&self, name: &str, size: u64) -> Result<u64, Errno> {
        let text = CString::new(name).map_err(|_| Errno::INVAL)?;
        let all = btrfs::group(ALL_LEVEL, ALL);
        btrfs::create_subvolume(self.directory.as_fd(), &text, size, all)?;
        let id = open_directory(self.directory.as_fd(), name)
            .and_then(|made| btrfs::subvolume_id(made.as_fd()));
        if id.is_err() {
            let _ = btrfs::remove_subvolume(self.directory.as_fd(), &text);
        }
        id
    }

    fn remove(&self, name: &str, id: u64) {
        match remove(&self.directory, name) {
            Ok(()) => self.removed().push(id),
            Err(errno) => {
                tracing::warn!(name, %errno, "cannot remove the writable layer of a sandbox");
            }
        }
    }

    fn removed(&self) -> MutexGuard<'_, Vec<u64>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> PathBuf {
        self.groups.join(format!("{ALL_LEVEL}_{ALL}"))
    }

    /// Has Linux clear away what was removed, and removes the quota groups of what it has: it does
    /// not by itself before 6.11.
    fn settle(&self) -> bool {
        if let Err(errno) = btrfs::start_sync(self.directory.as_fd()) {
            tracing::warn!(%errno, "cannot have btrfs write what has changed");
            return false;
        }
        let mut removed = self.removed();
        removed.retain(|id| {
            let group = self.groups.join(format!("0_{id}"));
            match used(&group) {
                None => false,
                Some(0) => btrfs::remove_group(self.directory.as_fd(), *id).is_err(),
                Some(_) => true,
            }
        });
        !removed.is_empty()
    }
}

/// Whether the data directory's own file system is to be used: it is btrfs, and counts quota groups
/// already or was asked for by name, for counting them takes time of whoever else uses it.
fn own(data_dir: &Path, backend: Backend) -> Result<bool, StorageError> {
    let directory = rustix::fs::open(data_dir, DIRECTORY, Mode::empty())
        .map_err(step(format!("open {data_dir:?}")))?;
    let about = fstatfs(&directory).map_err(step(format!("look at {data_dir:?}")))?;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type differs between processors"
    )]
    if about.f_type as i64 != MAGIC {
        return Ok(false);
    }
    let counts = groups(directory.as_fd()).is_ok_and(|groups| groups.exists());
    Ok(counts || backend == Backend::Btrfs)
}

fn own_root(place: &Path) -> Result<OwnedFd, StorageError> {
    let make = || -> Result<OwnedFd, Errno> {
        match rustix::fs::mkdir(place, Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        rustix::fs::open(place, DIRECTORY, Mode::empty())
    };
    make().map_err(step(format!("make the directory {place:?}")))
}

/// Bounds what all layers hold together.
fn limit_all(root: BorrowedFd<'_>, total: Option<u64>) -> Result<(), Errno> {
    let all = btrfs::group(ALL_LEVEL, ALL);
    btrfs::create_group(root, all)?;
    total.map_or(Ok(()), |total| btrfs::limit_group(root, all, total))
}

/// Where Linux tells what quota groups count.
fn groups(file_system: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let id = btrfs::file_system_id(file_system)?;
    let mut text = String::new();
    for (at, byte) in id.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(format!("/sys/fs/btrfs/{text}/qgroups").into())
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

fn open_directory(root: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(root, name, DIRECTORY, Mode::empty())
}

fn make_directory(root: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::mkdirat(root, name, Mode::from(0o700)) {
        // Of the engine whose place this one has taken.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn remove(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    match btrfs::remove_subvolume(directory.as_fd(), &name) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Removes the layers of engines that have no workplace below `workplaces`. Returns the ids of the
/// removed subvolumes.
fn sweep(root: &OwnedFd, workplaces: &Path) -> Vec<u64> {
    let mut removed = Vec::new();
    for engine in names(root) {
        // Not an engine's: the pool's own file, where that is.
        let Ok(directory) = open_directory(root.as_fd(), &engine) else {
            continue;
        };
        if workplaces.join(&engine).exists() {
            continue;
        }
        for layer in names(&directory) {
            let id = open_directory(directory.as_fd(), &layer)
                .and_then(|layer| btrfs::subvolume_id(layer.as_fd()));
            match remove(&directory, &layer) {
                Ok(()) => removed.extend(id),
                Err(errno) => {
                    tracing::warn!(layer, %errno, "cannot remove what a dead engine left");
                }
            }
        }
        let _ = rustix::fs::unlinkat(root, engine.as_str(), AtFlags::REMOVEDIR);
    }
    removed
}

fn names(directory: &OwnedFd) -> Vec<String> {
    let entries = Dir::read_from(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
    names.filter(|name| name != "." && name != "..").collect()
}
