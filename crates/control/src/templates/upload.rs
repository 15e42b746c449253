//! Files that builds copy in: archives that clients upload, `<data directory>/uploads/<team>/<hash>`.
//!
//! The hash is the client's own, of what it put in, and nobody can check it: so what a team uploads is for that team
//! alone. What its files are is never looked at here.

use soulbox_model::{ByteSize, TeamId};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The directory below the data directory.
const DIRECTORY: &str = "uploads";
/// What files begin with that are not complete.
const DRAFT: &str = ".new-";
/// The longest hash.
const MAX: usize = 128;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The hash cannot be one.
    #[error("hash: it has 1 to {MAX} letters and digits")]
    Hash,
    /// It is too large.
    #[error("the archive is larger than {0} (setting template.upload)")]
    TooLarge(ByteSize),
    /// It cannot be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
}

/// All archives.
#[derive(Debug, Clone)]
pub struct Uploads {
    directory: PathBuf,
}

impl Uploads {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            directory: data_dir.join(DIRECTORY),
        }
    }

    /// The archive of a team with a hash, which is used now.
    pub fn find(&self, team: &TeamId, hash: &str) -> Option<PathBuf> {
        let path = self.path(team, hash).ok()?;
        // It shall not go just when it is needed.
        let file = File::options().append(true).open(&path).ok()?;
        file.set_modified(SystemTime::now()).ok();
        Some(path)
    }

    /// Begins an archive, of at most so many bytes.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn begin(
        &self,
        team: &TeamId,
        hash: &str,
        most: ByteSize,
    ) -> Result<NewUpload, UploadError> {
        let place = self.path(team, hash)?;
        let directory = self.directory.join(team.as_str());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let mut random = [0; 16];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let draft = directory.join(format!("{DRAFT}{}", soulbox_model::key::hex(&random)));
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        Ok(NewUpload {
            file,
            draft,
            place,
            most,
            written: 0,
        })
    }

    /// Removes archives that nobody has used for so long, those used longest ago of teams that have too much, and
    /// what was not completed for a day.
    pub(crate) fn sweep(&self, keep: Duration, most: ByteSize) -> io::Result<usize> {
        const ABANDONED: Duration = Duration::from_secs(24 * 3600);
        let mut removed = 0;
        for team in entries(&self.directory)? {
            let mut all = Vec::new();
            for path in entries(&team)? {
                let Ok(about) = fs::metadata(&path) else {
                    continue;
                };
                let age = about.modified()?.elapsed().unwrap_or_default();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let longest = match name.starts_with(DRAFT) {
                    true => ABANDONED,
                    false => keep,
                };
                match age > longest {
                    true => {
                        fs::remove_file(&path)?;
                        removed += 1;
                    }
                    false => all.push((age, about.len(), path)),
                }
            }
            all.sort();
            let mut sum = 0;
            for (_, size, path) in all {
                sum += size;
                if sum > most.bytes() {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn path(&self, team: &TeamId, hash: &str) -> Result<PathBuf, UploadError> {
        let fits = (1..=MAX).contains(&hash.len());
        match fits && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            true => Ok(self.directory.join(team.as_str()).join(hash)),
            false => Err(UploadError::Hash),
        }
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// An archive that is being written; dropped before it is done, nothing of it is left.
#[derive(Debug)]
pub struct NewUpload {
    file: File,
    draft: PathBuf,
    place: PathBuf,
    most: ByteSize,
    written: u64,
}

impl NewUpload {
    /// Appends to it.
    ///
    /// # Errors
    /// [`UploadError::TooLarge`], [`UploadError::Write`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.written += bytes.len() as u64;
        if self.written > self.most.bytes() {
            return Err(UploadError::TooLarge(self.most));
        }
        Ok(self.file.write_all(bytes)?)
    }

    /// It is complete: from now on it is found, in the place of an older one of its hash.
    ///
    /// # Errors
    /// [`UploadError::Write`].
    pub fn finish(self) -> Result<u64, UploadError> {
        self.file.sync_data()?;
        fs::rename(&self.draft, &self.place)?;
        Ok(self.written)
    }
}

impl Drop for NewUpload {
    fn drop(&mut self) {
        // Once it has its place there is nothing any more.
        let _ = fs::remove_file(&self.draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(uploads: &Uploads, team: &TeamId, hash: &str, bytes: &[u8]) -> PathBuf {
        let mut new = uploads.begin(team, hash, ByteSize(1000)).unwrap();
        new.write(bytes).unwrap();
        new.finish().unwrap();
        uploads.find(team, hash).unwrap()
    }

    #[test]
    fn what_is_complete_is_found_by_its_team_alone() {
        let directory = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(directory.path());
        let (one, other): (TeamId, TeamId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut new = uploads.begin(&one, "abc", ByteSize(10)).unwrap();
        new.write(b"12345").unwrap();
        assert!(uploads.find(&one, "abc").is_none(), "it is not complete");
        new.finish().unwrap();
        let found = uploads.find(&one, "abc").unwrap();
        assert_eq!(fs::read(found).unwrap(), b"12345");
        assert!(uploads.find(&other, "abc").is_none());
        put(&uploads, &one, "abc", b"new");
        let found = uploads.find(&one, "abc").unwrap();
        assert_eq!(fs::read(found).unwrap(), b"new");
    }

    #[test]
    fn what_is_too_large_or_broken_off_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(directory.path());
        let team: TeamId = "one".parse().unwrap();
        let mut new = uploads.begin(&team, "abc", ByteSize(10)).unwrap();
        new.write(b"1234567890").unwrap();
        assert!(matches!(new.write(b"1"), Err(UploadError::TooLarge(_))));
        drop(new);
        drop(uploads.begin(&team, "abc", ByteSize(10)).unwrap());
        let left = fs::read_dir(directory.path().join("uploads/one")).unwrap();
        assert_eq!(left.count(), 0);
        for wrong in ["", "..", "a/b", "a\0", &"a".repeat(MAX + 1)] {
            let refused = uploads.begin(&team, wrong, ByteSize(10));
            assert!(matches!(refused, Err(UploadError::Hash)), "{wrong:?}");
            assert!(uploads.find(&team, wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(directory.path());
        let team: TeamId = "one".parse().unwrap();
        let hour = Duration::from_secs(3600);
        for (hash, hours) in [("c", 3), ("a", 1), ("b", 2)] {
            let path = put(&uploads, &team, hash, &[0; 100]);
            let file = File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - hour * hours).unwrap();
        }
        assert_eq!(uploads.sweep(hour * 10, ByteSize(1000)).unwrap(), 0);
        assert_eq!(uploads.sweep(hour * 10, ByteSize(250)).unwrap(), 1);
        let exists = |hash: &str| directory.path().join("uploads/one").join(hash).exists();
        assert!(exists("a") && exists("b") && !exists("c"));
        assert_eq!(uploads.sweep(hour, ByteSize(1000)).unwrap(), 2);
    }
}
