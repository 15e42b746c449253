//! Building a template from a recipe: everything around the script.
//!
//! ```text
//! BuildTurn::try_take ─▶ Build::begin ─▶ step() ─▶ (the caller runs it in a sandbox) ─▶ finish
//! ```
//!
//! Nothing here runs a program. [`Build::step`] says what to run in a sandbox of which template;
//! whoever makes sandboxes does it. A build that is dropped before its end leaves nothing behind.

use crate::host::HostRoot;
use crate::layers::{Layers, PROGRAM_DIRECTORIES};
use crate::lock::Lock;
use crate::measure::{MeasureError, measure};
use crate::recipe::{Recipe, TemplateDefaults, TreeFrom};
use crate::record::{ROOTFS, RecordError, TemplateRecord};
use crate::registries;
use crate::remove::{RemoveError, remove_tree};
use crate::sources::{SourcesError, hand_over};
use crate::staging::{Staging, StagingError, Survive, make_private};
use rustix::fs::StatVfs;
use soulbox_model::{ByteSize, Limits, Mount, NetworkMode, TemplateName};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the script finds the tree that it fills.
pub const GUEST_ROOTFS: &str = "/build/rootfs";
/// Where the script finds the files of its recipe, read-only.
pub const GUEST_RECIPE: &str = "/build/recipe";
/// Where the script finds what the host hands over, read-only.
pub const GUEST_INPUTS: &str = "/build/inputs";

/// Directories that every sandbox needs to begin, with their modes: made where a tree lacks them.
const TOP: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

const RECIPE: &str = "recipe";
const INPUTS: &str = "inputs";
const START: &str = ".start.sh";
/// With less than this on the disk, a script that failed is taken to have failed for that.
const FULL: ByteSize = ByteSize::mib(16);
/// As [`FULL`], for the number of files.
const FULL_FILES: u64 = 1000;

/// Why a template was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The parent lacks programs that the script needs.
    #[error(
        "template {parent} lacks {programs}, which the recipe of {name} needs; install {packages}"
    )]
    Needs {
        /// The template that is built.
        name: TemplateName,
        /// The template in whose sandbox it is built.
        parent: TemplateName,
        /// The missing programs.
        programs: String,
        /// The packages that have them.
        packages: String,
    },
    /// The disk has too little room to begin with.
    #[error("{path} has {free} free, the recipe of {name} needs {need}: make room and try again")]
    Room {
        /// The template that is built.
        name: TemplateName,
        /// The store of templates.
        path: PathBuf,
        /// What is free.
        free: String,
        /// What is needed.
        need: ByteSize,
    },
    /// The disk was full before the script was done.
    #[error(
        "the disk with {path} was full before template {name} was done: make room and try again"
    )]
    DiskFull {
        /// The template that is built.
        name: TemplateName,
        /// The store of templates.
        path: PathBuf,
    },
    /// The script failed.
    #[error("the recipe of {name} failed: {how}; its last lines:\n{lines}")]
    Script {
        /// The template that is built.
        name: TemplateName,
        /// How it ended.
        how: String,
        /// What it printed last.
        lines: String,
    },
    /// The script ended well, but the tree lacks what the recipe promises.
    #[error("the tree that the recipe of {name} made lacks {missing}")]
    Lacks {
        /// The template that is built.
        name: TemplateName,
        /// What is missing.
        missing: String,
    },
    /// Something in the tree stands where each sandbox gets a mount of its own.
    #[error("the tree that the recipe of {name} made has no directory in the place of /{path}")]
    Top {
        /// The template that is built.
        name: TemplateName,
        /// What is no directory.
        path: &'static str,
    },
    /// The host's package sources cannot be used.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// A file around the tree could not be written.
    #[error("cannot write the files that the build needs")]
    Files(#[from] io::Error),
    /// The directory could not be made or put in its place.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// What was only for the build could not be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// The tree is not of a size that a template can have.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The record could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The right to build one template of a store, which one process has at a time.
#[derive(Debug)]
pub struct BuildTurn {
    _lock: Lock,
}

impl BuildTurn {
    /// Takes it, or gives `None` while somebody else builds that template.
    ///
    /// # Errors
    /// When the store cannot be made or written to.
    pub fn try_take(store: &Path, name: &TemplateName) -> Result<Option<Self>, BuildError> {
        make_private(store)?;
        let lock = Lock::try_exclusive(&store.join(format!(".{name}.lock")))?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }
}

/// What a build needs to run, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// The template of the sandbox.
    pub parent: TemplateName,
    /// What the sandbox may use.
    pub limits: Limits,
    /// What it reaches.
    pub network: NetworkMode,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// The program and its arguments; it runs as root.
    pub command: Vec<String>,
    /// Its environment, whole.
    pub env: Vec<(String, String)>,
    /// How long it may take.
    pub timeout: Duration,
}

/// The template in whose sandbox a build runs.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// What is known about it.
    pub record: &'a TemplateRecord,
    /// What the roots of its sandboxes are made of.
    pub layers: &'a Layers,
}

/// A build that has begun.
#[derive(Debug)]
pub struct Build {
    recipe: Recipe,
    /// What sandboxes of the parent get by default.
    inherited: TemplateDefaults,
    store: PathBuf,
    staging: Staging,
    _turn: BuildTurn,
}

impl Build {
    /// Begins to build `recipe` in the store of templates: checks what it needs and writes what
    /// its script gets.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left behind then.
    pub fn begin(
        turn: BuildTurn,
        store: &Path,
        recipe: Recipe,
        parent: Parent<'_>,
        host: &HostRoot,
    ) -> Result<Self, BuildError> {
        check_programs(&recipe, parent.layers)?;
        check_room(&recipe, store)?;
        let staging = Staging::new(store)?;
        let inherited = match recipe.manifest.tree {
            TreeFrom::Script => TemplateDefaults::default(),
            TreeFrom::Sandbox | TreeFrom::Copy => TemplateDefaults {
                user: Some(parent.record.user.clone()),
                workdir: parent.record.workdir.clone(),
                env: parent.record.env.clone(),
            },
        };
        let build = Self {
            recipe,
            inherited,
            store: store.to_owned(),
            staging,
            _turn: turn,
        };
        build.write(host)?;
        Ok(build)
    }

    /// Writes what the script gets.
    fn write(&self, host: &HostRoot) -> Result<(), BuildError> {
        let rootfs = self.path(ROOTFS);
        fs::DirBuilder::new().mode(0o755).create(&rootfs)?;
        // Whatever the umask is.
        fs::set_permissions(&rootfs, fs::Permissions::from_mode(0o755))?;
        self.recipe.write(&self.path(RECIPE))?;
        let start = self.path(RECIPE).join(START);
        let mut start = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(start)?;
        io::Write::write_all(&mut start, include_bytes!("recipe/start.sh"))?;
        fs::create_dir(self.path(INPUTS))?;
        if self.recipe.manifest.package_sources {
            hand_over(host, &self.path(INPUTS))?;
        }
        if self.recipe.manifest.package_registries {
            registries::hand_over(host, &self.path(INPUTS))?;
        }
        Ok(())
    }

    /// The template that is built.
    pub fn name(&self) -> &TemplateName {
        &self.recipe.name
    }

    /// What to run: in a sandbox of [`BuildStep::parent`], as root, to its end.
    pub fn step(&self, cpu_millis: u32) -> BuildStep {
        let manifest = &self.recipe.manifest;
        let mount = |name: &str, guest: &str, read_only| Mount {
            host: self.path(name),
            guest: guest.into(),
            read_only,
        };
        let tree = match manifest.tree {
            TreeFrom::Sandbox => "sandbox",
            TreeFrom::Script => "script",
            TreeFrom::Copy => "copy",
        };
        let start = format!("{GUEST_RECIPE}/{START}");
        let script = manifest.script.to_string_lossy();
        let env = [
            ("PATH", PROGRAM_DIRECTORIES.join(":")),
            ("HOME", "/root".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ];
        BuildStep {
            parent: manifest.parent.clone(),
            limits: manifest.limits(cpu_millis),
            network: manifest.network,
            mounts: vec![
                mount(ROOTFS, GUEST_ROOTFS, false),
                mount(RECIPE, GUEST_RECIPE, true),
                mount(INPUTS, GUEST_INPUTS, true),
            ],
            command: vec!["/bin/bash".into(), start, script.into(), tree.into()],
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            timeout: Duration::from_secs(manifest.timeout_seconds),
        }
    }

    /// The error for a script that did not end well: `how` it ended and what it printed last.
    pub fn failed(&self, how: String, lines: String) -> BuildError {
        let name = self.recipe.name.clone();
        let full = rustix::fs::statvfs(&self.store).is_ok_and(|stat| {
            free_of(&stat) < FULL || (stat.f_files > 0 && stat.f_favail < FULL_FILES)
        });
        if full || lines.contains("No space left on device") {
            let path = self.store.clone();
            return BuildError::DiskFull { name, path };
        }
        BuildError::Script { name, how, lines }
    }

    /// Makes a template of the tree that the script left: checks it, measures it, writes it to
    /// disk and gives it its place, in that of an older one of the same name if there is one.
    ///
    /// # Errors
    /// [`BuildError`]; the older one is untouched then.
    pub fn finish(self) -> Result<TemplateRecord, BuildError> {
        // What the host handed over is not for the template's sandboxes.
        for name in [RECIPE, INPUTS] {
            remove_tree(&self.path(name))?;
        }
        let layers = Layers {
            rootfs: self.path(ROOTFS),
            ..Layers::default()
        };
        self.complete_top()?;
        self.check_tree(&layers)?;
        let record = self.record(&layers)?;
        record.write(self.staging.path())?;
        self.staging
            .publish(record.name.as_str(), Survive::PowerCut)?;
        Ok(record)
    }

    /// Makes the missing ones of [`TOP`]. A link in their place would lead mounts elsewhere.
    fn complete_top(&self) -> Result<(), BuildError> {
        for (path, mode) in TOP {
            let place = self.path(ROOTFS).join(path);
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    let name = self.recipe.name.clone();
                    return Err(BuildError::Top { name, path });
                }
                Err(_) => {
                    fs::create_dir(&place)?;
                    fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
                }
            }
        }
        Ok(())
    }

    fn check_tree(&self, layers: &Layers) -> Result<(), BuildError> {
        let expect = &self.recipe.manifest.expect;
        let programs = expect
            .programs
            .iter()
            .filter(|name| layers.program(name).is_none());
        let paths = expect
            .paths
            .iter()
            .filter(|path| layers.find(path).is_none());
        let missing: Vec<_> = programs
            .cloned()
            .chain(paths.map(|path| path.display().to_string()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(BuildError::Lacks {
            name: self.recipe.name.clone(),
            missing: missing.join(", "),
        })
    }

    fn record(&self, layers: &Layers) -> Result<TemplateRecord, BuildError> {
        let (name, manifest) = (self.recipe.name.clone(), &self.recipe.manifest);
        let mut record = TemplateRecord::new(name, layers, measure(&layers.rootfs)?);
        record.description.clone_from(&manifest.description);
        record.parent = Some(manifest.parent.clone());
        record.recipe = Some(self.recipe.hash().to_owned());
        record.zygote.clone_from(&manifest.zygote);
        // What the recipe says itself comes last.
        for defaults in [&self.inherited, &manifest.template] {
            if let Some(user) = &defaults.user {
                record.user.clone_from(user);
            }
            if defaults.workdir.is_some() {
                record.workdir.clone_from(&defaults.workdir);
            }
            record.env.extend(defaults.env.clone());
        }
        Ok(record)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }
}

fn check_programs(recipe: &Recipe, parent: &Layers) -> Result<(), BuildError> {
    let needs = recipe.manifest.needs.iter();
    let missing: Vec<_> = needs
        .filter(|(name, _)| parent.program(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let join = |words: Vec<&str>| words.join(", ");
    let packages = missing.iter().map(|(_, package)| package.as_str());
    Err(BuildError::Needs {
        name: recipe.name.clone(),
        parent: recipe.manifest.parent.clone(),
        programs: join(missing.iter().map(|(name, _)| name.as_str()).collect()),
        packages: packages.collect::<Vec<_>>().join(" "),
    })
}

fn check_room(recipe: &Recipe, store: &Path) -> Result<(), BuildError> {
    let (free, need) = (free(store)?, recipe.manifest.free_disk);
    if free >= need {
        return Ok(());
    }
    Err(BuildError::Room {
        name: recipe.name.clone(),
        path: store.to_owned(),
        // An even number of MiB reads better than an odd one of bytes.
        free: ByteSize::mib(free.bytes() >> 20).to_string(),
        need,
    })
}

fn free(path: &Path) -> io::Result<ByteSize> {
    Ok(free_of(&rustix::fs::statvfs(path)?))
}

fn free_of(stat: &StatVfs) -> ByteSize {
    ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize))
}
