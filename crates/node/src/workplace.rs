//! An engine's own directories, and the sweeping of those whose engine has died.
//!
//! Each engine has one directory of its own below the run directory (sockets) and one below the
//! data directory (what sandboxes keep on disk). A lock on the latter tells that it lives: Linux
//! lets go of it when the engine dies, however it dies.

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::io;
use std::path::{Path, PathBuf};

/// The name of the file that a living engine holds a lock on.
const LOCK: &str = "lock";

/// A directory that cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the directory {path:?}; choose another with --data-dir, or mend its rights")]
pub struct WorkplaceError {
    /// The directory.
    pub path: PathBuf,
    /// Linux's error.
    #[source]
    pub source: io::Error,
}

/// An engine's own directories. Dropping it removes them.
#[derive(Debug)]
pub struct Workplace {
    run: PathBuf,
    data: PathBuf,
    _lock: OwnedFd,
}

impl Workplace {
    /// Makes an engine's directories below `run_dir` and `data_dir`.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub fn make(run_dir: &Path, data_dir: &Path) -> Result<Self, WorkplaceError> {
        let name = engine_name();
        let run = run_dir.join("engines").join(&name);
        let data = data_dir.join("sandboxes").join(&name);
        let _turn = turn(data_dir).map_err(|source| WorkplaceError {
            path: data_dir.to_owned(),
            source,
        })?;
        for path in [&run, &data] {
            private_directory(path).map_err(|source| WorkplaceError {
                path: path.clone(),
                source,
            })?;
        }
        let lock =
            lock(&data.join(LOCK), FlockOperation::NonBlockingLockExclusive).map_err(|source| {
                WorkplaceError {
                    path: data.clone(),
                    source,
                }
            })?;
        Ok(Self {
            run,
            data,
            _lock: lock,
        })
    }

    /// The socket of the agent in `slot`.
    pub fn socket(&self, slot: u32) -> PathBuf {
        self.run.join(format!("{slot}.sock"))
    }

    /// A directory of the engine that the spawner may mount over in its own namespace.
    pub fn scratch(&self) -> &Path {
        &self.run
    }

    /// Removes what engines that have died left below `run_dir` and `data_dir`.
    pub fn sweep(run_dir: &Path, data_dir: &Path) {
        for (entry, _lock) in dead(data_dir) {
            let run = entry
                .file_name()
                .map(|name| run_dir.join("engines").join(name));
            for path in run.iter().chain([&entry]) {
                remove(path);
            }
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        remove(&self.run);
        remove(&self.data);
    }
}

/// The directories of engines that have died, each with its lock.
fn dead(data_dir: &Path) -> Vec<(PathBuf, OwnedFd)> {
    let Ok(_turn) = turn(data_dir) else {
        return Vec::new();
    };
    let entries = entries(&data_dir.join("sandboxes")).into_iter();
    // Whoever gets the lock knows that the engine is dead.
    let dead = entries.filter_map(|entry| {
        let lock = lock(&entry.join(LOCK), FlockOperation::NonBlockingLockExclusive).ok()?;
        Some((entry, lock))
    });
    dead.collect()
}

/// Waits for one's turn: between the making of a directory and its lock, an engine that starts
/// would look dead to another one that sweeps.
fn turn(data_dir: &Path) -> io::Result<OwnedFd> {
    private_directory(data_dir)?;
    lock(
        &data_dir.join("sandboxes.lock"),
        FlockOperation::LockExclusive,
    )
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(?path, %error, "cannot remove an engine's directory");
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// Makes a directory that only its owner may enter.
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn lock(path: &Path, operation: FlockOperation) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::from(0o600))?;
    flock(&file, operation)?;
    Ok(file)
}

/// A name that no other engine of the machine has: the process id alone comes again.
fn engine_name() -> String {
    let now = std::time::SystemTime::now();
    let nanos = now
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    format!("{}-{nanos:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_engines_are_swept() {
        let (run, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let alive = Workplace::make(run.path(), data.path()).unwrap();
        // What a killed engine leaves: its directories, and a lock that nobody holds.
        let dead_run = run.path().join("engines/dead");
        let dead_data = data.path().join("sandboxes/dead");
        for path in [&dead_run, &dead_data] {
            std::fs::create_dir_all(path.join("below")).unwrap();
        }
        std::fs::write(dead_data.join(LOCK), "").unwrap();
        Workplace::sweep(run.path(), data.path());
        assert!(alive.run.exists() && alive.data.exists());
        assert!(!dead_run.exists() && !dead_data.exists());
    }
}
