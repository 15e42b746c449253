//! Builds that are kept on the host's disk, each team's apart, and those that were used last in memory.
//!
//! A build is a file, `<data directory>/builds/<team>/<key>`, with the SHA-256 of what follows it: one that was damaged
//! is not there. What was used longest ago goes when a team has more than its share. Programs of others are among
//! them: nobody but the engine's own user may read them, and nothing on the host runs them.

use crate::execute::build::{BuiltFile, Key};
use bytes::{Buf as _, BufMut as _, Bytes};
use sha2::{Digest, Sha256};
use soulbox_settings::Settings;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

/// The directory below the data directory.
const DIRECTORY: &str = "builds";
/// What a file begins with.
const MAGIC: &[u8; 16] = b"soulbox build 1\n";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct BuildBounds {
    /// Of each team on disk, in bytes.
    pub team: u64,
    /// Of all teams in memory, in bytes.
    pub memory: u64,
    /// The largest build, in bytes.
    pub one: u64,
}

/// All builds.
#[derive(Debug)]
pub struct Builds {
    directory: PathBuf,
    bounds: BuildBounds,
    known: Mutex<Known>,
    /// What is being written.
    writes: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Counts uses.
    now: u64,
    teams: HashMap<String, Shelf<()>>,
    memory: Shelf<Arc<Vec<BuiltFile>>>,
}

/// Builds in the order of their last use.
#[derive(Debug)]
struct Shelf<T> {
    entries: HashMap<Key, (u64, u64, T)>,
    order: BTreeMap<u64, Key>,
    bytes: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<T: Clone> Shelf<T> {
    fn get(&mut self, key: &Key, now: u64) -> Option<T> {
        let (used, _, value) = self.entries.get_mut(key)?;
        self.order.remove(used);
        *used = now;
        self.order.insert(now, *key);
        Some(value.clone())
    }

    fn put(&mut self, key: Key, size: u64, now: u64, value: T) {
        self.remove(&key);
        self.entries.insert(key, (now, size, value));
        self.order.insert(now, key);
        self.bytes += size;
    }

    fn remove(&mut self, key: &Key) {
        if let Some((used, size, _)) = self.entries.remove(key) {
            self.order.remove(&used);
            self.bytes -= size;
        }
    }

    /// Takes out what was used longest ago until no more than `most` bytes are left.
    fn shrink(&mut self, most: u64) -> Vec<Key> {
        let mut gone = Vec::new();
        while self.bytes > most {
            let Some((_, key)) = self.order.pop_first() else {
                break;
            };
            self.remove(&key);
            gone.push(key);
        }
        gone
    }
}

impl Builds {
    /// Those below a data directory.
    pub fn new(data: &Path, bounds: BuildBounds) -> Self {
        Self {
            directory: data.join(DIRECTORY),
            bounds,
            known: Mutex::default(),
            writes: Mutex::default(),
        }
    }

    /// Those of the settings; none where none are to be kept.
    pub fn of(settings: &Settings) -> Option<Arc<Self>> {
        let execute = &settings.execute;
        let bounds = BuildBounds {
            team: execute.builds.bytes(),
            memory: execute.builds_memory.bytes(),
            one: execute.build.bytes(),
        };
        let builds = || Arc::new(Self::new(&settings.paths.data_dir, bounds));
        (bounds.team > 0).then(builds)
    }

    /// How much is kept.
    pub fn bounds(&self) -> BuildBounds {
        self.bounds
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A build, if it is kept.
    pub async fn get(self: &Arc<Self>, team: &str, key: Key) -> Option<Arc<Vec<BuiltFile>>> {
        {
            let mut known = self.known();
            known.now += 1;
            let now = known.now;
            if let Some(shelf) = known.teams.get_mut(team) {
                shelf.get(&key, now);
            }
            if let Some(build) = known.memory.get(&key, now) {
                return Some(build);
            }
        }
        let (builds, team) = (Arc::clone(self), team.to_owned());
        let read = tokio::task::spawn_blocking(move || builds.read(&team, key));
        read.await.ok().flatten()
    }

    /// Keeps a build, in the background: who made it need not wait.
    pub fn keep(self: &Arc<Self>, team: &str, key: Key, build: Vec<BuiltFile>) {
        let (builds, team) = (Arc::clone(self), team.to_owned());
        let write = tokio::task::spawn_blocking(move || {
            let build = Arc::new(build);
            builds.remember(key, &build);
            if let Err(error) = builds.write(&team, key, &build) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a build is not kept");
            }
        });
        let mut writes = self.writes();
        writes.retain(|write| !write.is_finished());
        writes.push(write);
    }

    /// Waits until all that is to be kept is on disk: a program that runs one piece of code and ends would lose it.
    pub async fn settle(&self) {
        let writes = std::mem::take(&mut *self.writes());
        for write in writes {
            let _ = write.await;
        }
    }

    fn writes(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, key: Key, build: &Arc<Vec<BuiltFile>>) {
        let size = size(build);
        let mut known = self.known();
        known.now += 1;
        let now = known.now;
        known.memory.put(key, size, now, Arc::clone(build));
        let most = self.bounds.memory;
        known.memory.shrink(most);
    }

    fn read(&self, team: &str, key: Key) -> Option<Arc<Vec<BuiltFile>>> {
        let path = self.directory.join(team).join(key.name());
        let file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        // A little more than the files themselves: their names.
        let most = self.bounds.one.saturating_mul(2).saturating_add(1 << 20);
        file.take(most).read_to_end(&mut bytes).ok()?;
        let build = parse(bytes.into());
        match build {
            Some(build) => {
                // The order of use outlives a restart this way.
                let _ = File::open(&path)
                    .and_then(|file| file.set_modified(std::time::SystemTime::now()));
                let build = Arc::new(build);
                self.remember(key, &build);
                Some(build)
            }
            None => {
                tracing::warn!(path = %path.display(), "a build is damaged and is removed");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    fn write(&self, team: &str, key: Key, build: &[BuiltFile]) -> io::Result<()> {
        let directory = self.directory.join(team);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        self.look(team, &directory)?;
        let (path, partial) = (
            directory.join(key.name()),
            // Another engine may write the same.
            directory.join(format!(".{}-{}", key.name(), std::process::id())),
        );
        let bytes = told(build);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&partial)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&partial, &path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written?;
        let gone = {
            let mut known = self.known();
            known.now += 1;
            let now = known.now;
            let shelf = known.teams.entry(team.to_owned()).or_default();
            shelf.put(key, bytes.len() as u64, now, ());
            shelf.shrink(self.bounds.team)
        };
        for key in gone {
            let _ = fs::remove_file(directory.join(key.name()));
        }
        Ok(())
    }

    /// Finds out what an earlier server kept of a team, once.
    fn look(&self, team: &str, directory: &Path) -> io::Result<()> {
        if self.known().teams.contains_key(team) {
            return Ok(());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let about = entry.metadata()?;
            match entry.file_name().to_str().and_then(key_of) {
                Some(key) => found.push((about.modified()?, key, about.len())),
                // Left by a server that was killed while it wrote.
                None => drop(fs::remove_file(entry.path())),
            }
        }
        found.sort();
        let mut known = self.known();
        let mut shelf = Shelf::default();
        for (_, key, size) in found {
            known.now += 1;
            shelf.put(key, size, known.now, ());
        }
        known.teams.entry(team.to_owned()).or_insert(shelf);
        Ok(())
    }
}

fn size(build: &[BuiltFile]) -> u64 {
    let sizes = build
        .iter()
        .map(|file| file.path.len() + file.content.len());
    sizes.sum::<usize>() as u64
}

fn key_of(name: &str) -> Option<Key> {
    let mut key = [0; 32];
    if name.len() != 64 || !name.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Key(key))
}

/// A build as a file holds it.
fn told(build: &[BuiltFile]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in build {
        bytes.put_u64_le(file.path.len() as u64);
        bytes.put_slice(file.path.as_bytes());
        bytes.put_u64_le(file.content.len() as u64);
        bytes.put_slice(&file.content);
    }
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    [MAGIC.as_slice(), &hash, &bytes].concat()
}

/// Reads what [`told`] wrote; none if it is anything else.
fn parse(mut bytes: Bytes) -> Option<Vec<BuiltFile>> {
    let magic = (bytes.len() >= MAGIC.len()).then(|| bytes.split_to(MAGIC.len()))?;
    let hash = (bytes.len() >= 32).then(|| bytes.split_to(32))?;
    let real: [u8; 32] = Sha256::digest(&bytes).into();
    if magic != MAGIC.as_slice() || hash != real.as_slice() {
        return None;
    }
    let part = |bytes: &mut Bytes| {
        let length = (bytes.len() >= 8).then(|| bytes.get_u64_le())?;
        let length = usize::try_from(length).ok()?;
        (length <= bytes.len()).then(|| bytes.split_to(length))
    };
    let mut build = Vec::new();
    while !bytes.is_empty() {
        let path = String::from_utf8(part(&mut bytes)?.to_vec()).ok()?;
        let content = part(&mut bytes)?;
        build.push(BuiltFile { path, content });
    }
    Some(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: BuildBounds = BuildBounds {
        team: 400,
        memory: 0,
        one: 1000,
    };

    fn build(text: &'static str) -> Vec<BuiltFile> {
        vec![BuiltFile {
            path: "/tmp/x".to_owned(),
            content: Bytes::from_static(text.as_bytes()),
        }]
    }

    #[tokio::test]
    async fn what_was_kept_is_found_by_the_same_team_alone_also_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let builds = Arc::new(Builds::new(data.path(), BOUNDS));
        builds.write("a", Key([1; 32]), &build("one")).unwrap();
        for builds in [builds, Arc::new(Builds::new(data.path(), BOUNDS))] {
            let found = builds.get("a", Key([1; 32])).await.unwrap();
            assert_eq!(*found, build("one"));
            assert!(builds.get("b", Key([1; 32])).await.is_none());
            assert!(builds.get("a", Key([2; 32])).await.is_none());
        }
    }

    #[tokio::test]
    async fn a_damaged_build_is_none() {
        let data = tempfile::tempdir().unwrap();
        let builds = Arc::new(Builds::new(data.path(), BOUNDS));
        builds.write("a", Key([1; 32]), &build("one")).unwrap();
        let path = data.path().join("builds/a").join(Key([1; 32]).name());
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(bad.into()), None, "byte {at}");
            assert_eq!(
                parse(Bytes::copy_from_slice(&good[..at])),
                None,
                "cut at {at}"
            );
        }
        fs::write(&path, b"nonsense").unwrap();
        assert!(builds.get("a", Key([1; 32])).await.is_none());
        assert!(!path.exists());
    }

    #[test]
    fn what_was_used_longest_ago_goes_and_others_keep_theirs() {
        let data = tempfile::tempdir().unwrap();
        let builds = Builds::new(data.path(), BOUNDS);
        builds.write("b", Key([9; 32]), &build("theirs")).unwrap();
        for number in 0..20 {
            builds
                .write("a", Key([number; 32]), &build("mine"))
                .unwrap();
        }
        let names = |team: &str| {
            fs::read_dir(data.path().join("builds").join(team))
                .unwrap()
                .count()
        };
        assert_eq!(names("b"), 1);
        let each = told(&build("mine")).len() as u64;
        assert_eq!(names("a") as u64, BOUNDS.team / each);
        let last = data.path().join("builds/a").join(Key([19; 32]).name());
        assert!(last.exists());
    }
}
