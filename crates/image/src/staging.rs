//! Directories that appear complete or not at all.
//!
//! A template is made aside, in `.build-<random>` beside the finished ones, and renamed at the
//! end. Whoever makes or uses one of these directories holds a lock on the file `.lock` in it, so
//! what a killed process left is told from what a living one works on, by [`sweep`].

use crate::lock::Lock;
use crate::remove::{RemoveError, remove_tree};
use rustix::fs::RenameFlags;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file in a template's directory that is locked by who makes, uses or removes it.
pub const LOCK: &str = ".lock";

const BUILDING: &str = ".build-";
const REPLACED: &str = ".old-";

/// What a published directory must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survive {
    /// A power cut: everything is written to disk first, which takes as long as the disk needs.
    PowerCut,
    /// Only the end of this process: what is read after a reboot may be broken.
    ProcessEnd,
}

/// Why a directory could not be staged or put in its place.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// Linux refused a step.
    #[error("cannot {what} {path}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// What was replaced or abandoned could not be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StagingError {
    move |source| StagingError::Refused {
        what,
        path: path.to_owned(),
        source,
    }
}

/// A directory that is being made. Dropped before [`Staging::publish`], it is removed.
#[derive(Debug)]
pub struct Staging {
    store: PathBuf,
    path: PathBuf,
    lock: Lock,
    published: bool,
}

impl Staging {
    /// Makes an empty directory in `store`, which is made too when it is missing. Both may be
    /// entered by their owner only.
    ///
    /// # Errors
    /// [`StagingError`] when a directory cannot be made or locked.
    pub fn new(store: &Path) -> Result<Self, StagingError> {
        make_private(store).map_err(refused("make directory", store))?;
        // Keeps `sweep` away until the new directory is locked.
        let _store = store_lock(store)?;
        loop {
            let path = store.join(random_name(BUILDING));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(refused("make directory", &path)(error)),
            }
            let lock = Lock::exclusive(&path.join(LOCK)).map_err(refused("lock", &path))?;
            return Ok(Self {
                store: store.to_owned(),
                path,
                lock,
                published: false,
            });
        }
    }

    /// A copy of what keeps it from being swept.
    ///
    /// # Errors
    /// Linux's own.
    pub fn copy_lock(&self) -> io::Result<Lock> {
        self.lock.another()
    }

    /// Where it is until it is published.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the directory its place `name` in the store. One that is there already is replaced in
    /// the same moment; it is removed as soon as nobody uses it, at the latest by a later
    /// [`sweep`].
    ///
    /// # Errors
    /// [`StagingError`]; the place is as it was before then.
    pub fn publish(mut self, name: &str, survive: Survive) -> Result<(), StagingError> {
        let place = self.store.join(name);
        let durable = survive == Survive::PowerCut;
        if durable {
            sync_file_system(&self.path).map_err(refused("write to disk", &self.path))?;
        }
        let replaced = {
            // A lock that changes from alone to shared is free for a moment: `sweep` must not
            // come in between.
            let _store = store_lock(&self.store)?;
            self.lock.share().map_err(refused("lock", &self.path))?;
            self.swap(&place)?
        };
        self.published = true;
        if durable {
            sync_directory(&self.store).map_err(refused("write to disk", &self.store))?;
        }
        if let Some(replaced) = replaced {
            remove_unused(&replaced)?;
        }
        Ok(())
    }

    /// Puts the directory in its place and tells where what it replaced is now.
    fn swap(&self, place: &Path) -> Result<Option<PathBuf>, StagingError> {
        match rename(&self.path, place, RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done.map(|()| None).map_err(refused("rename", &self.path)),
        }
        let replaced = self.store.join(random_name(REPLACED));
        match rename(&self.path, place, RenameFlags::EXCHANGE) {
            Ok(()) => rename(&self.path, &replaced, RenameFlags::NOREPLACE),
            // A file system that cannot exchange: for a moment there is nothing in the place.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                rename(place, &replaced, RenameFlags::empty())
                    .and_then(|()| rename(&self.path, place, RenameFlags::empty()))
            }
            Err(error) => Err(error),
        }
        .map_err(refused("rename", &self.path))?;
        Ok(Some(replaced))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is swept later.
            remove_tree(&self.path).ok();
        }
    }
}

/// Holds the directory `name` of a store for as long as the lock is kept: it is neither removed
/// nor emptied, even when another one takes its place. `None` when there is none.
///
/// # Errors
/// [`StagingError`] when Linux refuses.
pub fn hold(store: &Path, name: &str) -> Result<Option<Lock>, StagingError> {
    let place = store.join(name);
    let file = place.join(LOCK);
    // Each turn means that another process replaced or removed it in this very moment.
    for _ in 0..1000 {
        match Lock::try_shared(&file) {
            Ok(Some(lock)) if lock.is_of(&file) => return Ok(Some(lock)),
            Ok(_) => std::thread::yield_now(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused("lock", &place)(error)),
        }
    }
    Ok(None)
}

/// True when somebody holds the directory `name` of a store, or is removing it.
///
/// # Errors
/// [`StagingError`] when Linux refuses.
pub fn is_held(store: &Path, name: &str) -> Result<bool, StagingError> {
    let place = store.join(name);
    match Lock::try_exclusive(&place.join(LOCK)) {
        Ok(lock) => Ok(lock.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(refused("lock", &place)(error)),
    }
}

/// Takes the directory `name` of a store out of its place and removes it. False when somebody
/// uses it: it stays then.
///
/// # Errors
/// [`StagingError`] when Linux refuses a step.
pub fn remove(store: &Path, name: &str) -> Result<bool, StagingError> {
    let place = store.join(name);
    let lock = Lock::try_exclusive(&place.join(LOCK)).map_err(refused("lock", &place))?;
    let Some(lock) = lock else {
        return Ok(false);
    };
    let aside = store.join(random_name(REPLACED));
    rename(&place, &aside, RenameFlags::empty()).map_err(refused("rename", &place))?;
    remove_tree(&aside)?;
    drop(lock);
    Ok(true)
}

/// Removes what killed processes left in a store, and what was replaced and is no longer used.
/// Gives the number of directories removed.
///
/// # Errors
/// [`StagingError`] when the store cannot be read or a directory cannot be removed.
pub fn sweep(store: &Path) -> Result<usize, StagingError> {
    let _store = store_lock(store)?;
    let mut swept = 0;
    for entry in fs::read_dir(store).map_err(refused("read", store))? {
        let entry = entry.map_err(refused("read", store))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if (name.starts_with(BUILDING) || name.starts_with(REPLACED))
            && remove_unused(&entry.path())?
        {
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes a directory unless somebody has locked it.
fn remove_unused(path: &Path) -> Result<bool, StagingError> {
    let unused = match Lock::try_exclusive(&path.join(LOCK)) {
        Ok(lock) => lock,
        // Gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refused("lock", path)(error)),
    };
    if unused.is_some() {
        remove_tree(path)?;
    }
    Ok(unused.is_some())
}

/// Makes a directory that only its owner may enter: the trees below hold setuid programs that
/// other users of the host must not reach.
///
/// # Errors
/// When it can neither be made nor shut.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn store_lock(store: &Path) -> Result<Lock, StagingError> {
    Lock::exclusive(&store.join(LOCK)).map_err(refused("lock", store))
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    use rustix::fs::CWD;
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
}

fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(path)?)?)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn random_name(prefix: &str) -> String {
    // The seed of each new state is random.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{prefix}{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(store: &Path, text: &str) -> Staging {
        let staging = Staging::new(store).unwrap();
        fs::write(staging.path().join("text"), text).unwrap();
        staging
    }

    fn entries(store: &Path) -> Vec<String> {
        let entries = fs::read_dir(store).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != LOCK)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_appears_complete_and_private() {
        let ground = tempfile::tempdir().unwrap();
        let store = ground.path().join("templates");
        staged(&store, "one")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        assert_eq!(entries(&store), ["x"]);
        assert_eq!(fs::read_to_string(store.join("x/text")).unwrap(), "one");
        for path in [&store, &store.join("x")] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
    }

    #[test]
    fn an_abandoned_one_is_removed() {
        let ground = tempfile::tempdir().unwrap();
        drop(staged(ground.path(), "one"));
        assert_eq!(entries(ground.path()), [""; 0]);
    }

    #[test]
    fn a_replaced_one_stays_for_as_long_as_it_is_used() {
        let ground = tempfile::tempdir().unwrap();
        let store = ground.path();
        staged(store, "one")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        let user = Lock::try_shared(&store.join("x").join(LOCK))
            .unwrap()
            .unwrap();
        staged(store, "two")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        assert_eq!(fs::read_to_string(store.join("x/text")).unwrap(), "two");
        assert_eq!((entries(store).len(), sweep(store).unwrap()), (2, 0));
        drop(user);
        assert_eq!(sweep(store).unwrap(), 1);
        assert_eq!(entries(store), ["x"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_living_work_is_not() {
        let ground = tempfile::tempdir().unwrap();
        let store = ground.path();
        let living = staged(store, "one");
        fs::create_dir_all(store.join(".build-0/rootfs")).unwrap();
        assert_eq!(sweep(store).unwrap(), 1);
        assert!(living.path().join("text").exists());
    }

    #[test]
    fn what_is_held_is_what_is_in_the_place() {
        let ground = tempfile::tempdir().unwrap();
        let store = ground.path();
        assert!(hold(store, "x").unwrap().is_none());
        staged(store, "one")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        let first = hold(store, "x").unwrap().unwrap();
        staged(store, "two")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        let second = hold(store, "x").unwrap().unwrap();
        let place = store.join("x").join(LOCK);
        assert!(!first.is_of(&place) && second.is_of(&place));
    }

    #[test]
    fn one_in_use_is_not_removed() {
        let ground = tempfile::tempdir().unwrap();
        let store = ground.path();
        staged(store, "one")
            .publish("x", Survive::ProcessEnd)
            .unwrap();
        let user = Lock::try_shared(&store.join("x").join(LOCK)).unwrap();
        assert!(!remove(store, "x").unwrap());
        drop(user);
        assert!(remove(store, "x").unwrap());
        assert_eq!(entries(store), [""; 0]);
    }
}
