//! The directory of a store: who may use it, and which file is what.
//!
//! `store.db` is the store. `store.db-wal` and `store.db-shm` belong to it while it is open and after a crash.
//! `store.room` keeps the log's place on the disk while the store is closed. `store.lock` is held by its only user.

use super::OpenError;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes that the log has on the disk. It is written back into the store at half of that, and a
/// group of transactions adds at most 2 MiB and the pages around them.
pub(super) const LOG: u64 = 8 * 1024 * 1024;

/// What of the log's place is given up when a store is opened, so that SQLite's index of the log
/// finds room on a full disk. The index of a log of this size takes 32 KiB.
const INDEX: u64 = 64 * 1024;

/// The first bytes of a log; without them it is an empty one.
const LOG_HEAD: [u8; 32] = [0; 32];

/// The files of a store, for its only user. Must outlive every connection to it: closing any
/// descriptor of the file gives up the locks that SQLite has on it.
#[derive(Debug)]
pub(super) struct Files {
    database: File,
    path: PathBuf,
    _lock: File,
}

impl Files {
    /// Takes the directory, which is made if it is missing.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: directory.to_owned(),
            source,
        };
        let directory = std::path::absolute(directory).map_err(failed)?;
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.map_err(failed)?;
        let lock = lock(&directory)?;
        let path = directory.join("store.db");
        let database = private(&path).map_err(failed)?;
        let files = Self {
            database,
            path,
            _lock: lock,
        };
        files.bring_back_log().map_err(failed)?;
        File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed)?;
        Ok(files)
    }

    /// The store's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.path.with_extension(ending)
    }

    /// Gives the log the place that it had when the store was closed.
    fn bring_back_log(&self) -> io::Result<()> {
        let (room, log) = (self.beside("room"), self.beside("db-wal"));
        if log.exists() || !room.exists() {
            // After a crash the log is there, with all that counts; its place is its own.
            let _ = std::fs::remove_file(room);
            return Ok(());
        }
        let file = private(&room)?;
        let size = file.metadata()?.len();
        file.set_len(size.min(LOG - INDEX))?;
        file.write_all_at(&LOG_HEAD, 0)?;
        file.sync_all()?;
        std::fs::rename(room, log)
    }

    /// Gives the log a place on the disk that nobody can take from it.
    pub(super) fn keep_log(&self) -> io::Result<()> {
        let file = private(&self.beside("db-wal"))?;
        match fallocate(&file, FallocateFlags::empty(), 0, LOG) {
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(_) if file.metadata()?.len() >= LOG - INDEX => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the log's place while the store is closed: SQLite removes the log with the last
    /// connection, which leaves this name of it.
    pub(super) fn keep_log_closed(&self) -> io::Result<()> {
        let room = self.beside("room");
        let _ = std::fs::remove_file(&room);
        std::fs::hard_link(self.beside("db-wal"), room)
    }

    /// Takes so many bytes from the disk for the store's file; `false` if the disk has none left.
    pub(super) fn grow(&self, bytes: u64) -> io::Result<bool> {
        match fallocate(&self.database, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
            Err(Errno::OPNOTSUPP) => self.has_room(bytes),
            Err(error) => Err(error.into()),
        }
    }

    /// On file systems that cannot promise room: whether there is some now.
    fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let disk = rustix::fs::fstatvfs(&self.database)?;
        let has = self.database.metadata()?.len();
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes.saturating_sub(has) + LOG)
    }
}

/// Opens or makes a file that only its owner may read.
fn private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("store.lock");
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    let mut file = private(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let read = Read::by_ref(&mut file).take(32).read_to_string(&mut holder);
            let known = read.is_ok() && !holder.trim().is_empty();
            return Err(OpenError::Taken {
                path: directory.to_owned(),
                holder: if known {
                    holder.trim().to_owned()
                } else {
                    "unknown".to_owned()
                },
            });
        }
        Err(error) => return Err(failed(error.into())),
    }
    // Only a hint for who finds it taken: a full disk must not keep the store closed.
    let noted = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = noted {
        tracing::debug!(%error, "the holder of the store's lock is not noted");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_has_one_user_and_its_files_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let files = Files::take(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(files.path()), 0o600);
        let taken = Files::take(&path).unwrap_err();
        let own = std::process::id().to_string();
        assert!(
            matches!(&taken, OpenError::Taken { holder, .. } if *holder == own),
            "{taken}"
        );
        drop(files);
        Files::take(&path).unwrap();
    }
}
