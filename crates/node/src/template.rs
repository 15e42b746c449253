//! The templates of one machine: what is on its disk, who uses it, and how it is made.
//!
//! Each template is a directory of the store, `<data directory>/templates/<name>/`, with its
//! record (`template.json`), its tree (`rootfs/`) and a lock file. Whoever runs sandboxes of a
//! template holds it ([`Template`]): it is not removed then, and one that is replaced stays until
//! nobody holds it any more.
//!
//! | What | File |
//! |---|---|
//! | list, get, inspect, remove | here |
//! | building one from a recipe | [`build`] |
//! | images of registries | [`images`] |
//! | images in files, read and written | [`archives`] |
//! | the sandbox that a recipe's script runs in | [`script`] |
//! | building one in steps, each a layer | [`steps`] |

pub mod archives;
pub mod build;
pub mod images;
pub mod script;
pub mod steps;

use soulbox_image::build::BuildError;
use soulbox_image::host::{self, HostError, HostRoot};
use soulbox_image::layer_store::{LayerError, LayerStore};
use soulbox_image::layers::Layers;
use soulbox_image::lock::Lock;
use soulbox_image::record::{ROOTFS, RecordError, TemplateRecord, UsrFrom};
use soulbox_image::staging::{self, StagingError};
use soulbox_image::tree::Owners;
use soulbox_model::TemplateName;
use soulbox_runtime::native::{ids, rights};
use soulbox_wire::spawner::Ids;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of the store below the data directory.
const DIRECTORY: &str = "templates";

/// Why a template is not to be had, or not to be removed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not there.
    #[error("there is no template {name}; there are: {there}")]
    Missing {
        /// What was asked for.
        name: TemplateName,
        /// The names of those that are there.
        there: String,
    },
    /// Somebody uses it.
    #[error("template {0} is in use: end its sandboxes, then remove it")]
    InUse(TemplateName),
    /// It cannot be removed.
    #[error("template host is built in: it takes no room worth mentioning and cannot be removed")]
    BuiltIn,
    /// Template `host` could not be made.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Somebody removed a part of it by hand.
    #[error("template {name} lacks its layer {path}: remove the template and make it again")]
    Lost {
        /// The template.
        name: TemplateName,
        /// What is not there.
        path: PathBuf,
    },
    /// Its record could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its directory could not be used.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// A layer could not be used.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The sandbox that was to build it failed.
    #[error("the sandbox that builds template {name} failed")]
    Sandbox {
        /// The template.
        name: TemplateName,
        /// How.
        source: script::ScriptError,
    },
    /// The build was ended before it was done.
    #[error("the build of template {0} was ended; nothing of it is left")]
    Stopped(TemplateName),
    /// The store could not be read.
    #[error("cannot read the templates in {path:?}")]
    Store {
        /// The store.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// The program ends.
    #[error("the program is ending")]
    Ending,
}

/// A template in the list.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: TemplateName,
    /// What is known about it, or why its record cannot be read.
    pub record: Result<TemplateRecord, RecordError>,
}

/// A template as it is now, told in full.
#[derive(Debug)]
pub struct Inspected {
    /// What is known about it.
    pub record: TemplateRecord,
    /// Where its tree is on the host.
    pub rootfs: PathBuf,
    /// True when somebody uses it now.
    pub in_use: bool,
    /// True when it was made from another recipe than the built-in one of its name is now.
    pub outdated: bool,
}

/// A template that is held for as long as this is kept.
#[derive(Debug)]
pub struct Template {
    /// What is known about it.
    pub record: TemplateRecord,
    /// What the roots of its sandboxes are made of.
    pub layers: Layers,
    held: Lock,
    published: bool,
}

impl Template {
    /// True while new sandboxes of its name would start from the same trees: it was neither
    /// replaced nor removed. Costs two system calls, so that an engine can keep what it holds and
    /// need not look up the template for each sandbox. Whether `host` still is as the host is,
    /// only [`TemplateStore::get`] finds out.
    pub fn is_current(&self) -> bool {
        let place = self.layers.rootfs.with_file_name(staging::LOCK);
        self.held.is_of(&place)
    }

    /// A template that is being made, for the sandboxes of its making: it has no place of its own,
    /// and such sandboxes end with the engine that made them. `held` keeps its trees.
    pub(crate) fn unpublished(record: TemplateRecord, layers: Layers, held: Lock) -> Self {
        Self {
            record,
            layers,
            held,
            published: false,
        }
    }

    /// Whether it has a place in the store.
    pub(crate) fn is_published(&self) -> bool {
        self.published
    }

    /// A copy of what holds it, which holds it too.
    ///
    /// # Errors
    /// Linux's own.
    pub fn copy_lock(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.held.copy()
    }
}

/// The templates of one machine.
#[derive(Debug, Clone)]
pub struct TemplateStore {
    directory: PathBuf,
}

impl TemplateStore {
    /// The store below `data_dir`, or where a link in its place leads. It is made when something is
    /// put into it.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            directory: directory(data_dir),
        }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes what killed builds left, and replaced trees that nobody holds any more. To be
    /// called at the start of an engine; what living builds work on is left alone.
    ///
    /// # Errors
    /// [`TemplateError::Staging`].
    pub fn sweep(&self) -> Result<usize, TemplateError> {
        if !self.directory.is_dir() {
            return Ok(0);
        }
        let layers = self.layers().sweep()?;
        Ok(staging::sweep(&self.directory)? + layers)
    }

    /// All templates, by name.
    ///
    /// # Errors
    /// [`TemplateError::Store`].
    pub fn list(&self) -> Result<Vec<Listed>, TemplateError> {
        let mut names = self.names().map_err(|source| TemplateError::Store {
            path: self.directory.clone(),
            source,
        })?;
        names.sort();
        Ok(names
            .into_iter()
            .map(|name| Listed {
                record: TemplateRecord::read(&self.place(&name)),
                name,
            })
            .collect())
    }

    /// Holds a template. `host` is made at its first use and made anew when the host changed.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] and what reading or making it says.
    pub fn get(&self, name: &TemplateName) -> Result<Template, TemplateError> {
        if name.is_host() {
            let root = host_root()?;
            host::prepare(&self.place(name), &root)?;
        }
        let Some(held) = staging::hold(&self.directory, name.as_str())? else {
            return Err(self.missing(name));
        };
        let place = self.place(name);
        let record = TemplateRecord::read(&place)?;
        let usr = match record.usr {
            UsrFrom::Tree => None,
            UsrFrom::Host => Some(PathBuf::from("/usr")),
        };
        let store = self.layers();
        let below = record.layers.iter().rev().map(|id| store.tree(id));
        let layers = Layers {
            rootfs: place.join(ROOTFS),
            below: below.collect(),
            usr,
        };
        if let Some(lost) = layers.below.iter().find(|tree| !tree.is_dir()) {
            return Err(TemplateError::Lost {
                name: name.clone(),
                path: lost.clone(),
            });
        }
        Ok(Template {
            record,
            layers,
            held,
            published: true,
        })
    }

    /// The layers that templates share.
    pub fn layers(&self) -> LayerStore {
        LayerStore::new(&self.directory)
    }

    /// Whether there is a template of that name: one look at the disk.
    pub fn contains(&self, name: &TemplateName) -> bool {
        name.is_host() || self.place(name).join(ROOTFS).is_dir()
    }

    /// Everything about a template.
    ///
    /// # Errors
    /// As [`TemplateStore::get`].
    pub fn inspect(&self, name: &TemplateName) -> Result<Inspected, TemplateError> {
        let in_use = staging::is_held(&self.directory, name.as_str())?;
        let template = self.get(name)?;
        let built_in = soulbox_image::recipe::Recipe::built_in(name).ok();
        let outdated =
            built_in.is_some_and(|recipe| template.record.recipe.as_deref() != Some(recipe.hash()));
        Ok(Inspected {
            rootfs: template.layers.rootfs.clone(),
            record: template.record,
            in_use,
            outdated,
        })
    }

    /// Removes a template that nobody holds.
    ///
    /// # Errors
    /// [`TemplateError::InUse`], [`TemplateError::Missing`], [`TemplateError::BuiltIn`] and what
    /// removing it says.
    pub fn remove(&self, name: &TemplateName) -> Result<(), TemplateError> {
        if name.is_host() {
            return Err(TemplateError::BuiltIn);
        }
        if !self.place(name).is_dir() {
            return Err(self.missing(name));
        }
        match staging::remove(&self.directory, name.as_str())? {
            true => Ok(()),
            false => Err(TemplateError::InUse(name.clone())),
        }
    }

    fn place(&self, name: &TemplateName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    fn names(&self) -> io::Result<Vec<TemplateName>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Everything else that is in the store has a name that no template can have.
            let name = entry.file_name().into_string().ok();
            if let Some(Ok(name)) = name.map(|name| name.parse())
                && entry.file_type()?.is_dir()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn missing(&self, name: &TemplateName) -> TemplateError {
        let mut there = self.names().unwrap_or_default();
        there.push(TemplateName::host());
        there.sort();
        there.dedup();
        let there = there.iter().map(TemplateName::as_str).collect::<Vec<_>>();
        TemplateError::Missing {
            name: name.clone(),
            there: there.join(", "),
        }
    }
}

/// Whether the program has the recipe of a template of that name.
pub fn can_be_built(name: &str) -> bool {
    soulbox_image::recipe::Recipe::built_in_names().any(|known| known == name)
}

/// Where the templates of a data directory are: in it, unless a link leads to another place, such as
/// a larger disk or what other engines have built. The path has no link in it then, for the spawner
/// sees only what it was told of.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    let directory = data_dir.join(DIRECTORY);
    match directory.is_symlink() {
        true => std::fs::canonicalize(&directory).unwrap_or(directory),
        false => directory,
    }
}

/// The host, for templates that are made from it. What is made belongs to those who are root and the
/// default user of this process's sandboxes: the engine of an ordinary user does not shift ids.
fn host_root() -> Result<HostRoot, HostError> {
    let owners = match rights::of_process(0) {
        Ok(ids @ (Ids::Range | Ids::One)) => {
            let (root, user) = (ids::root(ids, 0), ids::user(ids, 0));
            Owners {
                root: (root, root),
                user: (user, user),
            }
        }
        Ok(Ids::Machine { .. }) | Err(_) => Owners::default(),
    };
    Ok(HostRoot::at(Path::new("/"), owners)?)
}

#[cfg(test)]
mod tests;
