//! Layers that templates share: each is on the disk once, published whole and never changed.
//!
//! ```text
//! <templates>/.layers/<id>/tree/        the files, with the ids that sandboxes see
//!                          layer.json   what is known about it
//!                          .lock        held by who builds on it; its time tells the last use
//! ```
//!
//! Sandboxes hold their template, not its layers: a layer goes only when no template's record
//! names it ([`LayerStore::prune`]), and a template's directory stays for as long as sandboxes of
//! it do.

use crate::lock::Lock;
use crate::measure::{MeasureError, measure};
use crate::record::TemplateRecord;
use crate::remove::remove_tree;
use crate::rfc3339;
use crate::staging::{self, LOCK, Staging, StagingError, Survive};
use serde::{Deserialize, Serialize};
use soulbox_model::ByteSize;
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

const DIRECTORY: &str = ".layers";
const TREE: &str = "tree";
const FACTS: &str = "layer.json";
/// More than any `layer.json` of ours has.
const MAX_FACTS: u64 = 64 << 10;
const DIFF: &str = "sha256-";
const STEP: &str = "step-";

/// The most layers that a template may lie on: overlayfs takes 500, an older Linux as many as fit
/// into 255 bytes of names (`fsconfig`), and each costs every create some microseconds.
pub const MAX_LAYERS: usize = 100;

/// What a layer is known by: what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId(String);

impl LayerId {
    /// The layer of an image, by its
    /// [diff id](https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid):
    /// the SHA-256 of the tar file before it was compressed.
    pub fn of_diff(digest: &[u8; 32]) -> Self {
        Self::new(DIFF, digest)
    }

    /// What a build step makes, by the SHA-256 of everything that goes into the step.
    pub fn of_step(digest: &[u8; 32]) -> Self {
        Self::new(STEP, digest)
    }

    fn new(kind: &str, digest: &[u8; 32]) -> Self {
        let mut text = kind.to_owned();
        for byte in digest {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// As it is written, and the name of its directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// No name of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no layer: sha256- or step- and 64 hexadecimal digits do")]
pub struct LayerIdError(String);

impl FromStr for LayerId {
    type Err = LayerIdError;

    fn from_str(text: &str) -> Result<Self, LayerIdError> {
        let digits = text.strip_prefix(DIFF).or(text.strip_prefix(STEP));
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        match digits {
            Some(digits) if digits.len() == 64 && digits.bytes().all(hex) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(LayerIdError(text.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for LayerId {
    type Error = LayerIdError;

    fn try_from(text: String) -> Result<Self, LayerIdError> {
        text.parse()
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.0
    }
}

/// Why a layer is not to be had, or was not made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Its directory could not be made, held, put in its place or removed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// It is not of a size that a layer can have.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A file of the store could not be read or written.
    #[error("cannot {what} {path}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    move |source| LayerError::Refused {
        what,
        path: path.to_owned(),
        source,
    }
}

/// What is known about a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// Space on disk.
    pub size: ByteSize,
    /// Entries of its tree.
    pub files: u64,
    /// When it was made, in UTC, such as `2026-01-31T12:00:00Z`.
    pub created: String,
    /// What made it, for people.
    pub made_by: String,
}

/// A layer that stays for as long as this is kept.
#[derive(Debug)]
pub struct HeldLayer {
    /// What it is known by.
    pub id: LayerId,
    /// Its files.
    pub tree: PathBuf,
    /// What is known about it.
    pub facts: LayerFacts,
    _held: Lock,
}

/// A layer in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is known by.
    pub id: LayerId,
    /// What is known about it.
    pub facts: LayerFacts,
    /// When it was last built on.
    pub used: SystemTime,
}

/// The layers of one machine's templates.
#[derive(Debug, Clone)]
pub struct LayerStore {
    templates: PathBuf,
    directory: PathBuf,
}

impl LayerStore {
    /// The layers of the store of templates at `templates`. It is made when something is put in.
    pub fn new(templates: &Path) -> Self {
        Self {
            templates: templates.to_owned(),
            directory: templates.join(DIRECTORY),
        }
    }

    /// Where the files of a layer are, if it is there.
    pub fn tree(&self, id: &LayerId) -> PathBuf {
        self.directory.join(id.as_str()).join(TREE)
    }

    /// Holds a layer and notes that it is used now; `None` when it is not there.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn hold(&self, id: &LayerId) -> Result<Option<HeldLayer>, LayerError> {
        let Some(held) = staging::hold(&self.directory, id.as_str())? else {
            return Ok(None);
        };
        let place = self.directory.join(id.as_str());
        let facts = read_facts(&place)?;
        let lock = place.join(LOCK);
        fs::File::open(&lock)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(refused("note the use of", &lock))?;
        Ok(Some(HeldLayer {
            id: id.clone(),
            tree: place.join(TREE),
            facts,
            _held: held,
        }))
    }

    /// The layer that a step with these inputs made last, held; `None` when there is none.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn hold_step(&self, key: &[u8; 32]) -> Result<Option<HeldLayer>, LayerError> {
        let id = LayerId::of_step(key);
        let latest = fs::read_to_string(self.pointer(&id)).ok();
        let latest = latest.and_then(|text| text.trim().parse::<LayerId>().ok());
        if let Some(latest) = latest
            && let Some(held) = self.hold(&latest)?
        {
            return Ok(Some(held));
        }
        self.hold(&id)
    }

    /// Notes that a step with these inputs was done again, with a result of its own.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn note_step(&self, key: &[u8; 32], latest: &LayerId) -> Result<(), LayerError> {
        let path = self.pointer(&LayerId::of_step(key));
        let aside = path.with_extension("new");
        fs::write(&aside, latest.as_str())
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(refused("write", &path))
    }

    fn pointer(&self, id: &LayerId) -> PathBuf {
        self.directory.join(format!(".latest-{id}"))
    }

    /// Takes the right to make the layer of these inputs, which one has at a time; `None` while
    /// somebody else has it.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn try_turn(&self, key: &[u8; 32]) -> Result<Option<Turn>, LayerError> {
        staging::make_private(&self.templates)
            .and_then(|()| staging::make_private(&self.directory))
            .map_err(refused("make directory", &self.directory))?;
        let path = self
            .directory
            .join(format!(".turn-{}", LayerId::of_step(key)));
        let lock = Lock::try_exclusive(&path).map_err(refused("lock", &path))?;
        // Who had it before removed the file that this lock is on.
        let lock = lock.filter(|lock| lock.is_of(&path));
        Ok(lock.map(|lock| Turn { path, _lock: lock }))
    }

    /// Begins a layer.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn begin(&self) -> Result<NewLayer, LayerError> {
        staging::make_private(&self.templates)
            .map_err(refused("make directory", &self.templates))?;
        let staging = Staging::new(&self.directory)?;
        let tree = staging.path().join(TREE);
        make_tree(&tree).map_err(refused("make directory", &tree))?;
        Ok(NewLayer {
            store: self.clone(),
            staging,
            tree,
        })
    }

    /// All layers, by id.
    ///
    /// # Errors
    /// [`LayerError`] when the store cannot be read; a layer that is damaged is left out.
    pub fn list(&self) -> Result<Vec<Listed>, LayerError> {
        let mut list = Vec::new();
        for name in names(&self.directory)? {
            let Ok(id) = name.parse::<LayerId>() else {
                continue;
            };
            let place = self.directory.join(&name);
            let used = fs::metadata(place.join(LOCK)).and_then(|lock| lock.modified());
            if let (Ok(facts), Ok(used)) = (read_facts(&place), used) {
                list.push(Listed { id, facts, used });
            }
        }
        list.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(list)
    }

    /// Removes the layers that were not used for longest, until the rest takes no more than
    /// `budget`. One that a template lies on, be it one that only its sandboxes still have, or that
    /// somebody holds, stays. Gives back how much room was made.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn prune(&self, budget: ByteSize) -> Result<ByteSize, LayerError> {
        let mut list = self.list()?;
        let mut total: u64 = list.iter().map(|layer| layer.facts.size.bytes()).sum();
        list.sort_by_key(|layer| layer.used);
        let mut freed = 0;
        for layer in list {
            if total <= budget.bytes() {
                break;
            }
            // Read anew for each: a template may have been made of it meanwhile. Whoever makes one
            // holds its layers until its record is there.
            if self.in_templates()?.contains(&layer.id) {
                continue;
            }
            if staging::remove(&self.directory, layer.id.as_str())? {
                total = total.saturating_sub(layer.facts.size.bytes());
                freed += layer.facts.size.bytes();
            }
        }
        Ok(ByteSize(freed))
    }

    /// Removes what killed builds left.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn sweep(&self) -> Result<usize, LayerError> {
        match self.directory.is_dir() {
            true => Ok(staging::sweep(&self.directory)?),
            false => Ok(0),
        }
    }

    /// The layers that the templates of the store lie on, those that were replaced and are still
    /// in use among them.
    fn in_templates(&self) -> Result<HashSet<LayerId>, LayerError> {
        let mut layers = HashSet::new();
        for name in names(&self.templates)? {
            // What is no template, or one that is being removed, has no record.
            if let Ok(record) = TemplateRecord::read(&self.templates.join(name)) {
                layers.extend(record.layers);
            }
        }
        Ok(layers)
    }
}

/// The right to make one layer. Dropping it gives it up.
#[derive(Debug)]
pub struct Turn {
    path: PathBuf,
    _lock: Lock,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before the lock: who waits sees that its file is not this one.
        fs::remove_file(&self.path).ok();
    }
}

/// A layer that is being made. Dropped before [`NewLayer::publish`], it is removed.
#[derive(Debug)]
pub struct NewLayer {
    store: LayerStore,
    staging: Staging,
    tree: PathBuf,
}

impl NewLayer {
    /// The directory to put its files into.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Makes the tree of what is at `from`, a directory beside it.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn take(&self, from: &Path) -> Result<(), LayerError> {
        fs::rename(from, &self.tree).map_err(refused("rename", from))
    }

    /// A lock that keeps the layer's files from being swept for as long as it is held.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn lock(&self) -> Result<Lock, LayerError> {
        self.staging
            .copy_lock()
            .map_err(refused("lock", &self.tree))
    }

    /// A place beside the tree for what its making needs; it does not become a part of the layer.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }

    /// Puts the layer in its place, written to disk. If there is one of that id already, that one
    /// stays and this one is removed: both were made of the same.
    ///
    /// # Errors
    /// [`LayerError`]; nothing of it is left then.
    pub fn publish(self, id: &LayerId, made_by: &str) -> Result<HeldLayer, LayerError> {
        if let Some(there) = self.store.hold(id)? {
            return Ok(there);
        }
        let size = measure(&self.tree)?;
        let facts = LayerFacts {
            size: size.bytes,
            files: size.files,
            created: rfc3339::format(SystemTime::now()),
            made_by: made_by.chars().take(1000).collect(),
        };
        for entry in fs::read_dir(self.staging.path()).map_err(refused("read", &self.tree))? {
            let entry = entry.map_err(refused("read", &self.tree))?;
            if entry.file_name() != TREE && entry.file_name() != LOCK {
                remove_tree(&entry.path()).map_err(StagingError::from)?;
            }
        }
        let path = self.staging.path().join(FACTS);
        serde_json::to_vec_pretty(&facts)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(&path, text))
            .map_err(refused("write", &path))?;
        self.staging.publish(id.as_str(), Survive::PowerCut)?;
        let place = self.store.directory.join(id.as_str());
        self.store.hold(id)?.ok_or_else(|| {
            // Somebody pruned it in this very moment, with a budget that it does not fit into.
            refused("hold", &place)(io::ErrorKind::NotFound.into())
        })
    }
}

/// Makes the root of a tree, whatever the umask is.
fn make_tree(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn read_facts(place: &Path) -> Result<LayerFacts, LayerError> {
    let path = place.join(FACTS);
    let read = || {
        let mut text = String::new();
        let file = fs::File::open(&path)?;
        io::Read::read_to_string(&mut io::Read::take(file, MAX_FACTS), &mut text)?;
        serde_json::from_str(&text).map_err(io::Error::other)
    };
    read().map_err(refused("read", &path))
}

fn names(directory: &Path) -> Result<Vec<String>, LayerError> {
    let read = || {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    };
    read().map_err(refused("read", directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Layers;
    use crate::measure::TreeSize;

    struct Ground {
        directory: tempfile::TempDir,
    }

    impl Ground {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().unwrap(),
            }
        }

        fn store(&self) -> LayerStore {
            LayerStore::new(self.directory.path())
        }

        fn put(&self, number: u8) -> LayerId {
            let id = LayerId::of_step(&[number; 32]);
            let layer = self.store().begin().unwrap();
            fs::write(layer.tree().join("file"), vec![number; 10_000]).unwrap();
            fs::write(layer.aside("scratch"), "x").unwrap();
            layer.publish(&id, "RUN make").unwrap();
            id
        }

        fn ids(&self) -> Vec<LayerId> {
            let list = self.store().list().unwrap();
            list.into_iter().map(|layer| layer.id).collect()
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written_and_nothing_else_is() {
        for id in [LayerId::of_diff(&[0xab; 32]), LayerId::of_step(&[1; 32])] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let digits = "0".repeat(64);
        for wrong in [
            "",
            "sha256-",
            "step-../../etc",
            &digits,
            &format!("sha256-{digits}0"),
        ] {
            assert!(wrong.parse::<LayerId>().is_err(), "{wrong}");
        }
        assert!(
            format!("sha256-{}", "A".repeat(64))
                .parse::<LayerId>()
                .is_err()
        );
    }

    #[test]
    fn a_layer_is_there_whole_or_not_at_all() {
        let ground = Ground::new();
        let id = LayerId::of_step(&[7; 32]);
        assert!(ground.store().hold(&id).unwrap().is_none());
        let abandoned = ground.store().begin().unwrap();
        fs::write(abandoned.tree().join("file"), "x").unwrap();
        drop(abandoned);
        assert!(ground.ids().is_empty());
        assert_eq!(ground.put(7), id);
        let held = ground.store().hold(&id).unwrap().unwrap();
        assert_eq!(fs::read(held.tree.join("file")).unwrap(), [7; 10_000]);
        assert_eq!(
            (held.facts.files, held.facts.made_by.as_str()),
            (1, "RUN make")
        );
    }

    #[test]
    fn of_two_of_the_same_id_the_first_stays() {
        let ground = Ground::new();
        let id = LayerId::of_diff(&[1; 32]);
        let (one, two) = (
            ground.store().begin().unwrap(),
            ground.store().begin().unwrap(),
        );
        fs::write(one.tree().join("one"), "x").unwrap();
        let first = one.publish(&id, "").unwrap();
        let second = two.publish(&id, "").unwrap();
        assert_eq!(first.tree, second.tree);
        assert!(second.tree.join("one").exists());
        assert_eq!(ground.ids(), [id]);
    }

    #[test]
    fn a_step_that_was_done_again_is_known_by_its_last_result() {
        let ground = Ground::new();
        let (first, again) = (ground.put(1), ground.put(2));
        let of_step = || ground.store().hold_step(&[1; 32]).unwrap().unwrap().id;
        assert_eq!(of_step(), first);
        ground.store().note_step(&[1; 32], &again).unwrap();
        assert_eq!(of_step(), again);
        staging::remove(&ground.store().directory, again.as_str()).unwrap();
        assert_eq!(of_step(), first);
        assert!(ground.store().hold_step(&[3; 32]).unwrap().is_none());
    }

    #[test]
    fn one_makes_a_layer_at_a_time() {
        let ground = Ground::new();
        let turn = ground.store().try_turn(&[1; 32]).unwrap().unwrap();
        assert!(ground.store().try_turn(&[1; 32]).unwrap().is_none());
        assert!(ground.store().try_turn(&[2; 32]).unwrap().is_some());
        drop(turn);
        assert!(ground.store().try_turn(&[1; 32]).unwrap().is_some());
        assert!(names(&ground.store().directory).unwrap().is_empty());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_needed_stays() {
        let ground = Ground::new();
        let ids: Vec<_> = (0..4).map(|number| ground.put(number)).collect();
        for (id, seconds) in ids.iter().zip([40, 30, 20, 10]) {
            let lock = ground.store().tree(id).with_file_name(LOCK);
            let used = SystemTime::now() - std::time::Duration::from_secs(seconds);
            fs::File::open(lock).unwrap().set_modified(used).unwrap();
        }
        // The oldest is a template's, the next somebody holds without having used it now.
        let template = Staging::new(ground.directory.path()).unwrap();
        let name = "x".parse().unwrap();
        let mut record = TemplateRecord::new(name, &Layers::default(), TreeSize::default());
        record.layers.push(ids[0].clone());
        record.write(template.path()).unwrap();
        template.publish("x", Survive::ProcessEnd).unwrap();
        let place = ground.store().directory.join(ids[1].as_str());
        let held = Lock::try_shared(&place.join(LOCK)).unwrap();
        let one = ground.store().list().unwrap()[0].facts.size.bytes();
        let prune = |bytes| ground.store().prune(ByteSize(bytes)).unwrap();
        assert_eq!(prune(one * 4), ByteSize(0));
        assert_eq!(prune(one * 3), ByteSize(one));
        assert_eq!(ground.ids(), [&ids[0], &ids[1], &ids[3]].map(Clone::clone));
        assert_eq!(prune(0), ByteSize(one));
        assert_eq!(ground.ids(), ids[..2]);
        drop(held);
        prune(0);
        assert_eq!(ground.ids(), ids[..1]);
    }
}
