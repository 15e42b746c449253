//! Owners: the host uid that creates, and so owns, the user namespaces of one team's sandboxes of
//! one template.
//!
//! Whoever runs as that uid may enter those sandboxes and no others; a zygote does. The uids come
//! from the range of slot 0, which no sandbox maps, and the machine's engines agree on them in one
//! file: a line of `uid key` each, appended under a lock. A boot begins with an empty run
//! directory, so the file never grows for long.

use crate::lease::ID_BASE;
use rustix::fs::{FlockOperation, flock};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The last uid that is given out; the one after it is no user's anywhere (65535 is -1 to old
/// system calls).
const LAST: u32 = ID_BASE + 65_534;

/// The longest key in bytes.
const KEY: usize = 1024;

/// An owner that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The file cannot be read or written.
    #[error("cannot use the list of owners {path:?}; it must be writable for all engines")]
    File {
        /// Its path.
        path: PathBuf,
        /// Linux's error.
        #[source]
        source: io::Error,
    },
    /// All uids are given out.
    #[error("no owner is left for another team and template; restart the machine to begin anew")]
    Full,
    /// The key is too long or holds a line break.
    #[error("no owner can be named {0:?}")]
    Key(String),
}

/// The machine's owners.
#[derive(Debug)]
pub struct Owners {
    path: PathBuf,
    known: Mutex<HashMap<String, u32>>,
}

impl Owners {
    /// The owners listed in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            path: directory.join("owners"),
            known: Mutex::default(),
        }
    }

    /// The uid of the team and template that `key` names, given out at the first asking.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn of(&self, key: &str) -> Result<u32, OwnerError> {
        if key.is_empty() || key.len() > KEY || key.contains(['\n', '\r']) {
            return Err(OwnerError::Key(key.chars().take(80).collect()));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(uid) = known.get(key) {
            return Ok(*uid);
        }
        let failed = |source| OwnerError::File {
            path: self.path.clone(),
            source,
        };
        let uid = self.look_up(key).map_err(failed)?.ok_or(OwnerError::Full)?;
        known.insert(key.to_owned(), uid);
        Ok(uid)
    }

    fn look_up(&self, key: &str) -> io::Result<Option<u32>> {
        let mut file = self.open()?;
        flock(&file, FlockOperation::LockExclusive)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let mut last = ID_BASE;
        for (uid, listed) in lines {
            let Ok(uid) = uid.parse() else { continue };
            if listed == key {
                return Ok(Some(uid));
            }
            last = last.max(uid);
        }
        if last >= LAST {
            return Ok(None);
        }
        file.seek(io::SeekFrom::End(0))?;
        // A line that a killed engine left half-written must not swallow this one.
        let line_break = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        file.write_all(format!("{line_break}{} {key}\n", last + 1).as_bytes())?;
        Ok(Some(last + 1))
    }

    fn open(&self) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_owner_for_all_engines() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (Owners::new(directory.path()), Owners::new(directory.path()));
        let base = one.of("team a/base").unwrap();
        assert!((ID_BASE + 1..=LAST).contains(&base));
        assert_eq!(two.of("team a/base").unwrap(), base);
        assert_ne!(two.of("team b/base").unwrap(), base);
        assert_eq!(one.of("team a/base").unwrap(), base);
    }

    #[test]
    fn a_half_written_line_hurts_nobody() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("owners"),
            format!("{} a\n18791", ID_BASE + 1),
        )
        .unwrap();
        let owners = Owners::new(directory.path());
        assert_eq!(owners.of("b").unwrap(), ID_BASE + 2);
        assert_eq!(Owners::new(directory.path()).of("b").unwrap(), ID_BASE + 2);
    }

    #[test]
    fn keys_cannot_forge_lines() {
        let directory = tempfile::tempdir().unwrap();
        let owners = Owners::new(directory.path());
        assert!(matches!(owners.of("a\n1 b"), Err(OwnerError::Key(_))));
    }
}
