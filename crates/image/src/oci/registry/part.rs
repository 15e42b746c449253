//! Blobs on their way: `<templates>/.downloads/<digest>`. What broke stays there, so that the next
//! pull goes on where it ended, until others need the room.

use crate::lock::Lock;
use crate::oci::digest::Digest;
use crate::staging::make_private;
use soulbox_model::ByteSize;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const DIRECTORY: &str = ".downloads";
/// How long a part is kept that nobody goes on with.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A file of a download that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path:?}")]
pub struct PartError {
    /// What was being done.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What Linux said.
    pub source: io::Error,
}

/// A blob that this process alone downloads.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: Arc<File>,
    lock: Lock,
}

impl Part {
    /// The part of a blob, empty if nobody began it; `None` while somebody else has it.
    pub(super) fn try_open(templates: &Path, blob: &Digest) -> Result<Option<Self>, PartError> {
        let directory = templates.join(DIRECTORY);
        let path = directory.join(blob.hex());
        let refused = |what| {
            let path = path.clone();
            move |source| PartError { what, path, source }
        };
        make_private(templates)
            .and_then(|()| make_private(&directory))
            .map_err(refused("make the directory of"))?;
        let Some(lock) = Lock::try_exclusive(&path).map_err(refused("lock"))? else {
            return Ok(None);
        };
        // Whoever had it before may have removed the file that was locked here.
        if !lock.is_of(&path) {
            return Ok(None);
        }
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(refused("open"))?;
        let file = Arc::new(file);
        Ok(Some(Self { path, file, lock }))
    }

    /// Its file, for reading while it grows.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub(super) fn len(&self) -> Result<u64, PartError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(self.refused("look at"))?.len())
    }

    pub(super) fn cut(&self, len: u64) -> Result<(), PartError> {
        self.file.set_len(len).map_err(self.refused("cut"))
    }

    pub(super) fn write(&self, content: &[u8], at: u64) -> Result<(), PartError> {
        let written = self.file.write_all_at(content, at);
        written.map_err(self.refused("write"))
    }

    pub(super) fn read(&self, into: &mut [u8], at: u64) -> Result<usize, PartError> {
        let read = self.file.read_at(into, at);
        read.map_err(self.refused("read"))
    }

    /// It is not needed any more.
    pub(super) fn remove(self) -> Result<(), PartError> {
        let refused = self.refused("remove");
        fs::remove_file(&self.path).map_err(refused)?;
        drop(self.lock);
        Ok(())
    }

    fn refused(&self, what: &'static str) -> impl FnOnce(io::Error) -> PartError + use<> {
        let path = self.path.clone();
        move |source| PartError { what, path, source }
    }
}

/// Removes parts that are old, and the oldest ones beyond `budget`. What is in use stays.
pub(super) fn sweep(templates: &Path, budget: ByteSize) -> Result<(), PartError> {
    let directory = templates.join(DIRECTORY);
    let refused = |source| PartError {
        what: "sweep",
        path: directory.clone(),
        source,
    };
    let mut parts = match list(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        parts => parts.map_err(refused)?,
    };
    // The newest ones stay.
    parts.sort_by_key(|(_, _, changed)| std::cmp::Reverse(*changed));
    let (now, mut total) = (SystemTime::now(), 0_u64);
    for (path, len, changed) in parts {
        total = total.saturating_add(len);
        let old = now.duration_since(changed).is_ok_and(|age| age > MAX_AGE);
        let empty = len == 0;
        if (old || empty || total > budget.bytes())
            && let Some(lock) = Lock::try_exclusive(&path).map_err(refused)?
        {
            let removed = if lock.is_of(&path) {
                fs::remove_file(&path)
            } else {
                Ok(())
            };
            removed.map_err(refused)?;
            total -= len;
        }
    }
    Ok(())
}

type Listed = (PathBuf, u64, SystemTime);

fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_file() {
            parts.push((entry.path(), metadata.len(), metadata.modified()?));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_at_a_time_and_what_it_wrote_stays() {
        let ground = tempfile::tempdir().unwrap();
        let blob = Digest::of(b"x");
        let open = || Part::try_open(ground.path(), &blob).unwrap();
        let part = open().unwrap();
        part.write(b"abc", 0).unwrap();
        assert!(open().is_none());
        drop(part);
        let part = open().unwrap();
        assert_eq!(part.len().unwrap(), 3);
        part.remove().unwrap();
        assert_eq!(open().unwrap().len().unwrap(), 0);
    }

    #[test]
    fn what_is_too_much_goes_the_oldest_first() {
        let ground = tempfile::tempdir().unwrap();
        let blobs = [b"a", b"b", b"c", b"d"].map(|name| Digest::of(name));
        let now = SystemTime::now();
        for (age, blob) in blobs.iter().enumerate() {
            let part = Part::try_open(ground.path(), blob).unwrap().unwrap();
            part.write(&[0; 100], 0).unwrap();
            let age = Duration::from_secs(60 * age as u64);
            part.file.set_modified(now - age).unwrap();
        }
        let held = Part::try_open(ground.path(), &blobs[3]).unwrap().unwrap();
        sweep(ground.path(), ByteSize(200)).unwrap();
        let there = |blob: &Digest| ground.path().join(DIRECTORY).join(blob.hex()).exists();
        assert_eq!(blobs.map(|blob| there(&blob)), [true, true, false, true]);
        held.file.set_modified(now - MAX_AGE * 2).unwrap();
        drop(held);
        sweep(ground.path(), ByteSize(2000)).unwrap();
        assert_eq!(blobs.map(|blob| there(&blob)), [true, true, false, false]);
        sweep(&ground.path().join("nowhere"), ByteSize(0)).unwrap();
    }
}
