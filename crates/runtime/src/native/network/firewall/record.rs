//! What was found before the first change, kept beside the locks.

use super::forwarding::Before;
use super::rules::Chosen;
use super::{FirewallError, file};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A longer record is none of ours.
const LONGEST: u64 = 1024 * 1024;

/// What was found before the first change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What the rules were made from.
    pub(super) chosen: Chosen,
    /// The host's switches.
    pub(super) before: Before,
}

/// The record as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// The running Linux: after a restart, nothing that is written here holds.
    boot: String,
    #[serde(flatten)]
    record: Record,
}

impl Record {
    /// The record, if there is one of this boot. One that cannot be understood counts as none:
    /// an engine must be able to start after anything.
    pub(super) fn read(run_dir: &Path) -> Result<Option<Self>, FirewallError> {
        let path = path(run_dir)?;
        let opened = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| failed("open", &path, source))?,
        };
        let mut text = String::new();
        if let Err(error) = opened.take(LONGEST).read_to_string(&mut text) {
            tracing::warn!(?path, %error, "ignoring a record of the network that cannot be read");
            return Ok(None);
        }
        match serde_json::from_str::<Stored>(&text) {
            Ok(stored) => Ok((stored.boot == boot()?).then_some(stored.record)),
            Err(error) => {
                tracing::warn!(?path, %error, "ignoring a record of the network");
                Ok(None)
            }
        }
    }

    /// Replaces the record as a whole.
    pub(super) fn write(&self, run_dir: &Path) -> Result<(), FirewallError> {
        let path = path(run_dir)?;
        let new = path.with_extension("new");
        let stored = Stored {
            boot: boot()?,
            record: self.clone(),
        };
        let text = serde_json::to_string(&stored)
            .map_err(|error| failed("write", &path, std::io::Error::other(error)))?;
        std::fs::write(&new, text).map_err(|source| failed("write", &new, source))?;
        rustix::fs::rename(&new, &path).map_err(|errno| file("replace", &path, errno))
    }

    pub(super) fn remove(run_dir: &Path) -> Result<(), FirewallError> {
        let path = path(run_dir)?;
        std::fs::remove_file(&path).map_err(|source| failed("remove", &path, source))
    }
}

fn path(run_dir: &Path) -> Result<PathBuf, FirewallError> {
    super::place(run_dir, "json")
}

fn boot() -> Result<String, FirewallError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path).map_err(|source| failed("read", path, source))
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> FirewallError {
    FirewallError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_boot_or_of_nonsense_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
        let record = Record {
            chosen: Chosen::default(),
            before: Before::default(),
        };
        record.write(dir.path()).unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), Some(record));
        let text = std::fs::read_to_string(path(dir.path()).unwrap()).unwrap();
        let other = text.replace(&boot().unwrap().trim()[..8], "00000000");
        for bad in [other.as_str(), "", "{", "[]", "\u{0}"] {
            std::fs::write(path(dir.path()).unwrap(), bad).unwrap();
            assert_eq!(Record::read(dir.path()).unwrap(), None, "{bad:?}");
        }
        std::fs::write(path(dir.path()).unwrap(), [0xff, 0xfe]).unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
        Record::remove(dir.path()).unwrap();
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
