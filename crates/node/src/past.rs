//! How sandboxes ended while no engine was there to tell it.
//!
//! One list for all engines of the machine, a JSON object to a line, short enough to be written
//! anew whenever something is added. It is gone when the machine stops, with the run directory.

use crate::workplace::lock;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use soulbox_model::SandboxId;
use soulbox_model::TemplateName;
use soulbox_runtime::native::journal::{End, Ending};
use std::io;
use std::path::{Path, PathBuf};

/// How many ends are kept: as many as there can be sandboxes, which may all be lost at once.
const KEPT: usize = 4096;

/// The longest list that is read, in bytes; an entry has some 400, and up to 6,500 with a note that
/// is made to be long.
const LONGEST: u64 = 32 * 1024 * 1024;

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the list of ended sandboxes {path:?}")]
pub struct PastError {
    /// Its path.
    pub path: PathBuf,
    /// Linux's error.
    #[source]
    pub source: io::Error,
}

/// A sandbox that ended while nobody was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: SandboxId,
    /// What it was made from.
    pub template: TemplateName,
    /// The slot that it had.
    pub slot: u32,
    /// The engine that had made it: process id and mark.
    pub engine: String,
    /// The note of whoever had asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When and why it ended, and what it had used. When nobody saw it end, `at` is when that was
    /// found out.
    #[serde(flatten)]
    pub end: End,
}

/// Why a sandbox ended, for people.
pub fn in_words(ending: Ending) -> &'static str {
    match ending {
        Ending::Asked => "ended on request",
        Ending::Failed => "could not be made",
        Ending::Alone => "its first process ended",
        Ending::Expired => "its time was over",
        Ending::EngineLost => "its engine was lost",
        Ending::SpawnerLost => "its spawner was lost",
        Ending::MachineStopped => "the machine was restarted",
    }
}

/// The list.
#[derive(Debug, Clone)]
pub struct Past {
    path: PathBuf,
}

impl Past {
    /// The list in `machine_dir`.
    pub fn new(machine_dir: &Path) -> Self {
        Self {
            path: machine_dir.join("ended"),
        }
    }

    /// All of it, the latest last. Lines that this version does not know are left out.
    ///
    /// # Errors
    /// [`PastError`].
    pub fn all(&self) -> Result<Vec<Ended>, PastError> {
        self.read().map_err(|source| self.error(source))
    }

    /// Adds ends, and drops the oldest of what is too many.
    ///
    /// # Errors
    /// [`PastError`].
    pub(crate) fn add(&self, new: Vec<Ended>) -> Result<(), PastError> {
        if new.is_empty() {
            return Ok(());
        }
        let add = || -> io::Result<()> {
            let turn = self.path.with_extension("lock");
            let _turn = lock(&turn, FlockOperation::LockExclusive)?;
            let mut all = self.read()?;
            // An engine that was killed while it cleared up has told some of them already.
            let known = |ended: &Ended| {
                all.iter()
                    .any(|old| old.id == ended.id && old.engine == ended.engine)
            };
            let new: Vec<_> = new.into_iter().filter(|ended| !known(ended)).collect();
            all.extend(new);
            all.drain(..all.len().saturating_sub(KEPT));
            let mut text = Vec::new();
            for ended in &all {
                serde_json::to_writer(&mut text, ended)?;
                text.push(b'\n');
            }
            let fresh = self.path.with_extension("new");
            std::fs::write(&fresh, text)?;
            std::fs::rename(&fresh, &self.path)
        };
        add().map_err(|source| self.error(source))
    }

    fn read(&self) -> io::Result<Vec<Ended>> {
        use io::Read;
        let mut text = String::new();
        match std::fs::File::open(&self.path) {
            Ok(file) => file.take(LONGEST).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn error(&self, source: io::Error) -> PastError {
        PastError {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::spawner::Usage;

    fn ended(number: u64) -> Ended {
        Ended {
            id: format!("a{number}").parse().unwrap(),
            template: TemplateName::host(),
            slot: 1,
            engine: "1-00000001".to_owned(),
            note: String::new(),
            end: End {
                at: number,
                ending: Ending::SpawnerLost,
                code: None,
                signal: None,
                usage: Usage::default(),
            },
        }
    }

    #[test]
    fn the_latest_are_kept_and_each_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let past = Past::new(directory.path());
        assert_eq!(past.all().unwrap(), []);
        past.add((0..KEPT as u64).map(ended).collect()).unwrap();
        past.add(vec![ended(5), ended(50_000)]).unwrap();
        let all = past.all().unwrap();
        assert_eq!((all.len(), all.first()), (KEPT, Some(&ended(1))));
        assert_eq!(all.last(), Some(&ended(50_000)));
    }

    #[test]
    fn what_is_no_entry_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let past = Past::new(directory.path());
        past.add(vec![ended(1)]).unwrap();
        let text = std::fs::read_to_string(&past.path).unwrap();
        std::fs::write(&past.path, format!("{{\n{text}[]\nx")).unwrap();
        assert_eq!(past.all().unwrap(), [ended(1)]);
    }
}
