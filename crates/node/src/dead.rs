//! Engines that have died, and what they left in their directories.

use crate::workplace::{
    self, ENGINES, LOCK, Places, journal_name, lock, mark_of, names, remove, turn,
};
use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use soulbox_runtime::native::journal::{self, Found};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

/// The engines of the machine, as far as they left a trace.
pub(crate) struct Survey {
    /// Those that have died. Nobody else touches them as long as this lives.
    pub(crate) dead: Vec<Dead>,
    /// The marks of those that live, or that another engine clears away just now.
    pub(crate) alive: HashSet<u32>,
}

/// An engine that has died.
pub(crate) struct Dead {
    /// Its name: process id and mark.
    pub(crate) name: String,
    places: Places,
    noted: PathBuf,
    /// On the note and in the data directory; none of one that is gone.
    _locks: [Option<OwnedFd>; 2],
}

impl Survey {
    /// Looks at the engines that are noted in `machine_dir`, and at those below `data_dir` that
    /// an earlier boot left, of which no note tells any more.
    pub(crate) fn take(machine_dir: &Path, run_dir: &Path, data_dir: &Path) -> Self {
        let mut survey = Self {
            dead: Vec::new(),
            alive: HashSet::new(),
        };
        let Ok(_turn) = turn(machine_dir) else {
            return survey;
        };
        let mut engines = BTreeMap::new();
        for name in names(&data_dir.join("sandboxes")) {
            let places = Places {
                run: run_dir.join("engines").join(&name),
                data: data_dir.join("sandboxes").join(&name),
            };
            engines.insert(name, places);
        }
        for name in names(&machine_dir.join(ENGINES)) {
            let noted = machine_dir.join(ENGINES).join(&name);
            match Places::read(&noted) {
                Some(places) => drop(engines.insert(name, places)),
                // Its engine died while it wrote this, before it made anything.
                None => workplace::remove_file(&noted),
            }
        }
        for (name, places) in engines {
            let noted = machine_dir.join(ENGINES).join(&name);
            survey.look_at(name, places, noted);
        }
        survey
    }

    fn look_at(&mut self, name: String, places: Places, noted: PathBuf) {
        let free = |path: &Path| match lock(path, FlockOperation::NonBlockingLockExclusive) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let on_note = match noted.exists() {
            true => free(&noted),
            false => Ok(None),
        };
        let (Ok(on_note), Ok(in_data)) = (on_note, free(&places.data.join(LOCK))) else {
            self.alive.extend(mark_of(&name));
            return;
        };
        self.dead.push(Dead {
            name,
            places,
            noted,
            _locks: [on_note, in_data],
        });
    }
}

impl Dead {
    /// The number by which the table of slots names it.
    pub(crate) fn mark(&self) -> Option<u32> {
        mark_of(&self.name)
    }

    /// What the journals of its spawners tell.
    pub(crate) fn journals(&self) -> Vec<Found> {
        let files = names(&self.places.run);
        let spawners: BTreeSet<_> = files
            .iter()
            .filter_map(|name| workplace::spawner_of(name))
            .collect();
        let read = spawners.into_iter().filter_map(|number| {
            let paths = [0, 1].map(|file| self.places.run.join(journal_name(number, file)));
            read_journal(&paths)
        });
        read.collect()
    }

    /// Removes what its sandboxes kept on disk; true when nothing of it is left.
    pub(crate) fn remove_files(&self) -> bool {
        remove(&self.places.data)
    }

    /// Removes the rest, the note last.
    pub(crate) fn remove(&self) {
        self.places.remove(&self.noted);
    }
}

/// Reads a journal; one that cannot be read is told and counts as none.
pub(crate) fn read_journal(paths: &[PathBuf; journal::FILES]) -> Option<Found> {
    match journal::read(paths) {
        Ok(found) => found,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what a spawner left is not known in full");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workplace::Workplace;

    #[test]
    fn an_engine_whose_data_nobody_else_sees_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let alive = Workplace::make(&at("machine"), &at("run"), &at("data")).unwrap();
        std::fs::rename(at("data"), at("unseen")).unwrap();
        let survey = Survey::take(&at("machine"), &at("run"), &at("other"));
        assert!(survey.dead.is_empty());
        assert!(survey.alive.contains(&alive.mark()));
    }

    #[test]
    fn the_dead_are_found_whatever_their_directories_and_the_living_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let alive = Workplace::make(&at("machine"), &at("run"), &at("data")).unwrap();
        // What a killed engine leaves: its note, its directories, and a lock that nobody holds.
        let elsewhere = Places {
            run: at("other-run/engines/1-0000000a"),
            data: at("other-data/sandboxes/1-0000000a"),
        };
        let before_boot = at("data/sandboxes/2-0000000b");
        for path in [&elsewhere.run, &elsewhere.data, &before_boot] {
            std::fs::create_dir_all(path.join("below")).unwrap();
        }
        std::fs::write(elsewhere.data.join(LOCK), "").unwrap();
        let noted = at("machine/engines/1-0000000a");
        std::fs::write(&noted, serde_json::to_vec(&elsewhere).unwrap()).unwrap();
        std::fs::write(at("machine/engines/3-0000000c"), "cut sho").unwrap();

        let survey = Survey::take(&at("machine"), &at("run"), &at("data"));
        let marks: Vec<_> = survey.dead.iter().map(Dead::mark).collect();
        assert_eq!(marks, [Some(0xa), Some(0xb)]);
        assert_eq!(survey.alive, HashSet::from([alive.mark()]));
        // A second engine that starts now leaves them to the first; none of an earlier boot is
        // locked, so both may remove it.
        let second = Survey::take(&at("machine"), &at("run"), &at("data"));
        assert!(second.alive.contains(&0xa));
        for dead in &survey.dead {
            assert!(dead.remove_files());
            dead.remove();
        }
        assert!(!elsewhere.run.exists() && !elsewhere.data.exists() && !noted.exists());
        assert!(!before_boot.exists());
        drop(survey);
        let again = Survey::take(&at("machine"), &at("run"), &at("data"));
        assert!(again.dead.is_empty() && again.alive.contains(&alive.mark()));
    }
}
