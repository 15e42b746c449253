//! An engine's own directories.
//!
//! Each engine has one directory of its own below the run directory (sockets, the spawner's
//! journals) and one below the data directory (what sandboxes keep on disk). Both are noted in one
//! place for all engines of the machine, so that any of them finds what another one left, whatever
//! directories that one was set to. A lock on the note, and one in the data directory, tell that
//! it lives: Linux lets go of them when the engine dies, however it dies. The second is for what an
//! earlier boot left, of which no note tells; the first for engines whose data directory others do
//! not see, because it is mounted in a namespace of theirs.

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};
use soulbox_runtime::native::journal::FILES;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The name of the file that a living engine holds a lock on.
pub(crate) const LOCK: &str = "lock";

/// Where engines are noted, below the machine's directory.
pub(crate) const ENGINES: &str = "engines";

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

/// Where an engine's directories are, as it is noted for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Places {
    /// Its sockets and journals.
    pub(crate) run: PathBuf,
    /// What its sandboxes keep on disk.
    pub(crate) data: PathBuf,
}

/// An engine's own directories. Dropping it removes them.
#[derive(Debug)]
pub struct Workplace {
    places: Places,
    noted: PathBuf,
    mark: u32,
    /// By them it is known to live; also those of a spawner that lasts.
    locks: Vec<OwnedFd>,
    /// Whether another engine will use the directories when this one is gone.
    lasts: AtomicBool,
}

impl Workplace {
    /// Makes sure that nobody but the caller can change what is in `directory`, which is made when
    /// it is missing: an ordinary user's may lie below `/tmp`, where anybody could have made it.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub fn claim(directory: &Path) -> Result<(), WorkplaceError> {
        let claim = || -> io::Result<()> {
            private_directory(directory)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::open(directory, flags, Mode::empty())?;
            let about = rustix::fs::fstat(&opened)?;
            let mine = about.st_uid == rustix::process::geteuid().as_raw();
            if !mine || about.st_mode & 0o022 != 0 {
                let why = "it belongs to somebody else, or others may write to it";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Ok(())
        };
        claim().map_err(|source| WorkplaceError {
            path: directory.to_owned(),
            source,
        })
    }

    /// Makes an engine's directories below `run_dir` and `data_dir` and notes them in
    /// `machine_dir`.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub fn make(
        machine_dir: &Path,
        run_dir: &Path,
        data_dir: &Path,
    ) -> Result<Self, WorkplaceError> {
        let at = |path: &Path, source| WorkplaceError {
            path: path.to_owned(),
            source,
        };
        let mark = new_mark();
        let name = name_of(mark);
        let noted = machine_dir.join(ENGINES).join(&name);
        let places = Places {
            run: run_dir.join("engines").join(&name),
            data: data_dir.join("sandboxes").join(&name),
        };
        let _turn = turn(machine_dir).map_err(|source| at(machine_dir, source))?;
        // Noted before anything is made, so that nothing is ever made that nobody knows of.
        note(&noted, &places).map_err(|source| at(&noted, source))?;
        let make = || -> Result<[OwnedFd; 2], WorkplaceError> {
            let on_note = lock(&noted, FlockOperation::NonBlockingLockExclusive)
                .map_err(|source| at(&noted, source))?;
            for path in [&places.run, &places.data] {
                private_directory(path).map_err(|source| at(path, source))?;
            }
            let in_data = lock(
                &places.data.join(LOCK),
                FlockOperation::NonBlockingLockExclusive,
            )
            .map_err(|source| at(&places.data, source))?;
            Ok([on_note, in_data])
        };
        let locks = make().inspect_err(|_| places.remove(&noted))?;
        Ok(Self {
            places,
            noted,
            mark,
            locks: locks.into(),
            lasts: AtomicBool::new(false),
        })
    }

    /// Takes the place of an engine that is gone, with its directories and locks.
    pub(crate) fn adopt(noted: PathBuf, places: Places, locks: Vec<OwnedFd>) -> Self {
        let name = noted.file_name().and_then(std::ffi::OsStr::to_str);
        let mark = name.and_then(mark_of).unwrap_or_default();
        Self {
            places,
            noted,
            mark,
            locks,
            lasts: AtomicBool::new(true),
        }
    }

    /// Whether the directories are to stay for another engine when this one is gone.
    pub fn last(&self, lasts: bool) {
        self.lasts.store(lasts, Ordering::Relaxed);
    }

    /// Copies of the locks, for a spawner that lasts.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub fn copy_locks(&self) -> Result<Vec<OwnedFd>, WorkplaceError> {
        let copies = self.locks.iter().map(OwnedFd::try_clone);
        copies
            .collect::<io::Result<_>>()
            .map_err(|source| WorkplaceError {
                path: self.noted.clone(),
                source,
            })
    }

    /// Where a spawner that lasts waits for engines.
    pub fn meeting_place(&self) -> PathBuf {
        self.places.meeting_place()
    }

    /// The number of the latest spawner, as its journal tells; 0 where there is none.
    pub fn latest_spawner(&self) -> u32 {
        let files = names(&self.places.run);
        let numbers = files.iter().filter_map(|name| spawner_of(name));
        numbers.max().unwrap_or(0)
    }

    /// Its name: process id and mark.
    pub fn name(&self) -> &str {
        self.noted
            .file_name()
            .and_then(std::ffi::OsStr::to_str)
            .unwrap_or_default()
    }

    /// The number by which the table of slots names this engine; never 0.
    pub fn mark(&self) -> u32 {
        self.mark
    }

    /// The socket of the agent in `slot`.
    pub fn socket(&self, slot: u32) -> PathBuf {
        self.places.run.join(format!("{slot}.sock"))
    }

    /// A directory of the engine that the spawner may mount over in its own namespace.
    pub fn scratch(&self) -> &Path {
        &self.places.run
    }

    /// The files of the journal of the engine's spawner number `number`.
    pub fn journal(&self, number: u32) -> [PathBuf; FILES] {
        [0, 1].map(|file| self.places.run.join(journal_name(number, file)))
    }

    /// The engine's directory for what sandboxes keep on disk.
    pub fn data(&self) -> &Path {
        &self.places.data
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if !self.lasts.load(Ordering::Relaxed) {
            self.places.remove(&self.noted);
        }
    }
}

impl Places {
    /// Reads a note of an engine's directories; none when it is no such note.
    pub(crate) fn read(noted: &Path) -> Option<Self> {
        let places: Self = serde_json::from_slice(&std::fs::read(noted).ok()?).ok()?;
        // What is removed by its path must be an engine's.
        let name = noted.file_name()?;
        let fits = |path: &Path, parent: &str| {
            path.is_absolute()
                && path.file_name() == Some(name)
                && path.parent().and_then(Path::file_name) == Some(parent.as_ref())
        };
        (fits(&places.run, "engines") && fits(&places.data, "sandboxes")).then_some(places)
    }

    /// Where a spawner that lasts waits for engines.
    pub(crate) fn meeting_place(&self) -> PathBuf {
        self.run.join("spawner.sock")
    }

    /// Removes both directories and, if nothing is left of them, the note.
    pub(crate) fn remove(&self, noted: &Path) {
        if remove(&self.data) && remove(&self.run) {
            remove_file(noted);
        }
    }
}

/// The names in a directory; none when it cannot be read.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// The mark in an engine's name.
pub(crate) fn mark_of(name: &str) -> Option<u32> {
    u32::from_str_radix(name.rsplit_once('-')?.1, 16).ok()
}

/// The name of a file of a journal.
pub(crate) fn journal_name(number: u32, file: u32) -> String {
    format!("spawner-{number}.journal-{file}")
}

/// The number of the spawner whose journal has a file of this name.
pub(crate) fn spawner_of(name: &str) -> Option<u32> {
    let (number, _) = name.strip_prefix("spawner-")?.split_once(".journal-")?;
    number.parse().ok()
}

/// Waits for one's turn: between the making of a directory and its lock, an engine that starts
/// would look dead to another one that looks for the dead.
pub(crate) fn turn(machine_dir: &Path) -> io::Result<OwnedFd> {
    private_directory(&machine_dir.join(ENGINES))?;
    lock(
        &machine_dir.join("engines.lock"),
        FlockOperation::LockExclusive,
    )
}

pub(crate) fn lock(path: &Path, operation: FlockOperation) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::from(0o600))?;
    flock(&file, operation)?;
    Ok(file)
}

/// Removes a directory with everything in it; true when it is gone. What sandboxes wrote may be
/// below it, however deep.
pub(crate) fn remove(path: &Path) -> bool {
    match soulbox_image::remove::remove_tree(path) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(?path, %error, "cannot remove an engine's directory");
            false
        }
    }
}

pub(crate) fn remove_file(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(?path, %error, "cannot remove an engine's file");
    }
}

/// Makes a directory that only its owner may enter.
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a note as a whole: one that is cut short would name nothing.
fn note(noted: &Path, places: &Places) -> io::Result<()> {
    let new = noted.with_extension("new");
    let written = std::fs::write(&new, serde_json::to_vec(places)?);
    let written = written.and_then(|()| std::fs::rename(&new, noted));
    if written.is_err() {
        remove_file(&new);
    }
    written
}

/// A number that no other engine has: the process id alone comes again.
fn new_mark() -> u32 {
    let mut random = [0; 4];
    // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    u32::from_le_bytes(random).max(1)
}

fn name_of(mark: u32) -> String {
    format!("{}-{mark:08x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let ground = tempfile::tempdir().unwrap();
        let place = ground.path().join("a/b");
        Workplace::claim(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Workplace::claim(&place).is_err());
        let link = ground.path().join("link");
        std::os::unix::fs::symlink(ground.path(), &link).unwrap();
        assert!(Workplace::claim(&link).is_err());
    }

    #[test]
    fn an_engine_that_ends_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dirs = ["machine", "run", "data"].map(|name| root.path().join(name));
        let workplace = Workplace::make(&dirs[0], &dirs[1], &dirs[2]).unwrap();
        let (places, noted) = (workplace.places.clone(), workplace.noted.clone());
        let name = noted.file_name().unwrap().to_str().unwrap();
        assert_eq!(mark_of(name), Some(workplace.mark()));
        assert_eq!(Places::read(&noted), Some(places.clone()));
        assert!(places.run.exists() && places.data.exists());
        drop(workplace);
        assert!(!places.run.exists() && !places.data.exists() && !noted.exists());
    }

    #[test]
    fn a_note_names_directories_of_engines_only() {
        let root = tempfile::tempdir().unwrap();
        let noted = root.path().join("7-00000001");
        for (run, data, good) in [
            ("/a/engines/7-00000001", "/b/sandboxes/7-00000001", true),
            ("/a/engines/7-00000001", "/b/sandboxes/8-00000001", false),
            ("/a/engines/7-00000001", "/b", false),
            ("a/engines/7-00000001", "/b/sandboxes/7-00000001", false),
            ("/a/engines/..", "/b/sandboxes/7-00000001", false),
        ] {
            let places = Places {
                run: run.into(),
                data: data.into(),
            };
            note(&noted, &places).unwrap();
            assert_eq!(Places::read(&noted).is_some(), good, "{run} {data}");
        }
        std::fs::write(&noted, "{").unwrap();
        assert_eq!(Places::read(&noted), None);
    }

    #[test]
    fn names_of_journals_tell_their_spawner() {
        assert_eq!(spawner_of(&journal_name(12, 1)), Some(12));
        for other in ["7.sock", "spawner-.journal-0", "spawner-1"] {
            assert_eq!(spawner_of(other), None, "{other}");
        }
    }
}
