//! Locks between processes: `flock` on a file, given back when the last copy of its descriptor
//! is closed, also when the process is killed.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Takes the lock alone. Waits for as long as somebody else holds it.
    ///
    /// # Errors
    /// When the file cannot be made or opened.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let lock = Self(open(path)?);
        lock.change(FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    /// Takes the lock alone, or gives `None` when somebody holds it, alone or shared.
    ///
    /// # Errors
    /// When the file cannot be made or opened.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        Self::attempt(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock together with others, or gives `None` when somebody holds it alone.
    ///
    /// # Errors
    /// When the file cannot be made or opened.
    pub fn try_shared(path: &Path) -> io::Result<Option<Self>> {
        Self::attempt(path, FlockOperation::NonBlockingLockShared)
    }

    /// Lets others in that take it shared, without giving it up.
    ///
    /// # Errors
    /// When Linux refuses.
    pub fn share(&self) -> io::Result<()> {
        self.change(FlockOperation::LockShared)
    }

    /// A copy of its descriptor: the lock is held until both are gone.
    ///
    /// # Errors
    /// When Linux refuses.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// The same lock once more: it is held until both are gone.
    ///
    /// # Errors
    /// When Linux refuses.
    pub fn another(&self) -> io::Result<Self> {
        self.copy().map(Self)
    }

    /// True while the file at `path` is the one that this lock is on.
    pub fn is_of(&self, path: &Path) -> bool {
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        match (rustix::fs::fstat(&self.0), rustix::fs::lstat(path)) {
            (Ok(mine), Ok(there)) => identity(mine) == identity(there),
            _ => false,
        }
    }

    fn attempt(path: &Path, operation: FlockOperation) -> io::Result<Option<Self>> {
        let lock = Self(open(path)?);
        match lock.change(operation) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn change(&self, operation: FlockOperation) -> io::Result<()> {
        loop {
            match rustix::fs::flock(&self.0, operation) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_many_together() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let alone = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_shared(&path).unwrap().is_none());
        alone.share().unwrap();
        let together = Lock::try_shared(&path).unwrap();
        assert!(together.is_some());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((alone, together));
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }
}
