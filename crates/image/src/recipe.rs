//! Recipes: a parent template and a script that, run in a sandbox of it, makes a tree.
//!
//! A recipe is a directory with a `recipe.toml` and the files that its script needs; those that
//! come with SoulBox are in `templates/` and part of the program. It is read once and completely,
//! so what is hashed is what runs.

mod built_in;
mod directory;
mod manifest;

pub use manifest::{Expectation, Manifest, TemplateDefaults, TreeFrom};

use sha2::{Digest, Sha256};
use soulbox_model::TemplateName;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// The file that makes a directory a recipe.
pub const MANIFEST: &str = "recipe.toml";

/// The most bytes of a recipe's files together: scripts and settings, not data.
pub const MAX_BYTES: u64 = 16 << 20;
/// The most files of a recipe.
pub const MAX_FILES: usize = 1000;
const MAX_DEPTH: usize = 8;

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// There is no recipe of that name, and no directory was given.
    #[error(
        "there is no built-in recipe {name:?}; built in are: {known}. Give the directory of another"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names of the built-in recipes.
        known: String,
    },
    /// A template of that name cannot be made by a recipe.
    #[error(
        "template host is built in and made from the host itself; give the recipe another name"
    )]
    Host,
    /// A file could not be read.
    #[error("cannot read the recipe's file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// There is more than a recipe can be.
    #[error(
        "{path} is too large for a recipe: at most {MAX_FILES} files of {} MiB together, \
         {MAX_DEPTH} levels deep",
        MAX_BYTES >> 20
    )]
    TooLarge {
        /// The directory.
        path: PathBuf,
    },
    /// Something in the directory is neither a file nor a directory.
    #[error("{0} is neither a file nor a directory: a recipe has no links")]
    Kind(PathBuf),
    /// The manifest does not say what a recipe must say.
    #[error("{path} does not say what a recipe must say")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<toml::de::Error>,
    },
    /// A value in the manifest is out of range.
    #[error("{MANIFEST} of {name}: {problem}")]
    Value {
        /// The recipe.
        name: TemplateName,
        /// What is wrong.
        problem: String,
    },
}

/// A file of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFile {
    /// Its path in the recipe, without `..`.
    pub path: PathBuf,
    /// Whether it may be executed.
    pub executable: bool,
    /// Its content.
    pub content: Cow<'static, [u8]>,
}

/// A recipe, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The template that it makes.
    pub name: TemplateName,
    /// What it says about itself.
    pub manifest: Manifest,
    files: Vec<RecipeFile>,
    hash: String,
}

impl Recipe {
    /// The names of the recipes that come with SoulBox.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        built_in::recipes()
    }

    /// A recipe that comes with SoulBox.
    ///
    /// # Errors
    /// [`RecipeError::Unknown`] and [`RecipeError::Host`].
    pub fn built_in(name: &TemplateName) -> Result<Self, RecipeError> {
        let Some(files) = built_in::recipe(name.as_str()) else {
            if name.is_host() {
                return Err(RecipeError::Host);
            }
            return Err(RecipeError::Unknown {
                name: name.to_string(),
                known: Self::built_in_names().collect::<Vec<_>>().join(", "),
            });
        };
        Self::new(name.clone(), files, Path::new(name.as_str()))
    }

    /// Reads the recipe in `directory`, which makes the template `name`.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn load(name: TemplateName, directory: &Path) -> Result<Self, RecipeError> {
        Self::new(name, directory::read(directory)?, directory)
    }

    fn new(
        name: TemplateName,
        mut files: Vec<RecipeFile>,
        directory: &Path,
    ) -> Result<Self, RecipeError> {
        if name.is_host() {
            return Err(RecipeError::Host);
        }
        let manifest = files.iter().find(|file| file.path == Path::new(MANIFEST));
        let path = directory.join(MANIFEST);
        let Some(manifest) = manifest else {
            let source = io::ErrorKind::NotFound.into();
            return Err(RecipeError::Read { path, source });
        };
        let text = String::from_utf8_lossy(&manifest.content);
        let manifest: Manifest = toml::from_str(&text).map_err(|source| RecipeError::Manifest {
            path,
            source: Box::new(source),
        })?;
        let refuse = |problem: String| RecipeError::Value {
            name: name.clone(),
            problem,
        };
        manifest.check().map_err(refuse)?;
        if !files.iter().any(|file| file.path == manifest.script) {
            let script = manifest.script.display();
            return Err(refuse(format!("script {script} is not in the recipe")));
        }
        for part in &manifest.parts {
            let added = built_in::tree(part, Path::new(part)).ok_or_else(|| {
                let known = built_in::names().collect::<Vec<_>>().join(", ");
                refuse(format!("there is no part {part:?}; there are: {known}"))
            })?;
            if files.iter().any(|file| file.path.starts_with(part)) {
                return Err(refuse(format!("{part} is a part and in the recipe too")));
            }
            files.extend(added);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            hash: hash(&files),
            name,
            manifest,
            files,
        })
    }

    /// SHA-256 of all its files, in hex: a template made from another recipe has another one.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Writes its files into `directory`, which is made.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let make = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(path)
        };
        make(directory)?;
        for file in &self.files {
            let path = directory.join(&file.path);
            if let Some(above) = path.parent() {
                make(above)?;
            }
            let mode = if file.executable { 0o755 } else { 0o644 };
            let mut written = File::options()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(path)?;
            io::Write::write_all(&mut written, &file.content)?;
        }
        Ok(())
    }
}

/// Lengths stand before names and contents, so that no two recipes feed the same bytes.
fn hash(files: &[RecipeFile]) -> String {
    let mut sha = Sha256::new();
    for file in files {
        let path = file.path.as_os_str().as_encoded_bytes();
        for part in [path, &[u8::from(file.executable)], &file.content] {
            sha.update((part.len() as u64).to_le_bytes());
            sha.update(part);
        }
    }
    sha.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// True for a path that stays in the directory that it is relative to.
fn stays_inside(path: &Path) -> bool {
    let normal = |part| matches!(part, Component::Normal(_));
    !path.as_os_str().is_empty() && path.components().all(normal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn directory(manifest: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(MANIFEST), manifest).unwrap();
        fs::write(directory.path().join("build.sh"), "true").unwrap();
        directory
    }

    fn load(directory: &Path) -> Result<Recipe, RecipeError> {
        Recipe::load("mine".parse().unwrap(), directory)
    }

    const SMALL: &str = "description = \"x\"\nscript = \"build.sh\"\n";

    #[test]
    fn every_built_in_recipe_is_sound() {
        for name in Recipe::built_in_names() {
            let recipe = Recipe::built_in(&name.parse().unwrap()).unwrap();
            assert!(!recipe.manifest.description.is_empty(), "{name}");
        }
        let base = Recipe::built_in(&"base".parse().unwrap()).unwrap();
        assert!(base.manifest.package_sources && base.manifest.expect.programs.len() > 20);
        for refused in ["host", "bse"] {
            assert!(
                Recipe::built_in(&refused.parse().unwrap()).is_err(),
                "{refused}"
            );
        }
    }

    #[test]
    fn built_in_recipes_hold_every_file_of_their_directory() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
        for name in Recipe::built_in_names() {
            let name: TemplateName = name.parse().unwrap();
            let mut from_disk = Recipe::load(name.clone(), &templates.join(name.as_str())).unwrap();
            let built_in = Recipe::built_in(&name).unwrap();
            let whole = from_disk.files.len();
            // For those who work on it, and in no template.
            from_disk
                .files
                .retain(|file| file.path != Path::new("README.md"));
            assert_eq!(built_in.files, from_disk.files);
            if from_disk.files.len() == whole {
                assert_eq!(built_in.hash(), from_disk.hash());
            }
        }
    }

    #[test]
    fn parts_lie_below_their_names_and_change_the_hash() {
        let with = directory(&format!("{SMALL}parts = [\"templates/base\"]\n"));
        let recipe = load(with.path()).unwrap();
        let copy = with.path().join("copy");
        recipe.write(&copy).unwrap();
        assert!(copy.join("templates/base/build.sh").is_file());
        assert_ne!(recipe.hash(), hash(&directory::read(with.path()).unwrap()));
        fs::create_dir_all(with.path().join("templates/base")).unwrap();
        fs::write(with.path().join("templates/base/build.sh"), "").unwrap();
        assert!(load(with.path()).unwrap_err().to_string().contains("too"));
    }

    #[test]
    fn parts_leave_out_what_is_only_for_a_checkout() {
        let python = built_in::tree("kernels/python", Path::new("")).unwrap();
        assert!(
            python
                .iter()
                .any(|file| file.path == Path::new("kernel.json"))
        );
        let left_out = ["README.md", "tests", "__pycache__"];
        let inside = |file: &RecipeFile| left_out.iter().any(|name| file.path.starts_with(name));
        assert!(!python.iter().any(inside));
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let directory = directory(SMALL);
        fs::create_dir(directory.path().join("sub")).unwrap();
        fs::write(directory.path().join("sub/data"), [0, 255]).unwrap();
        let recipe = load(directory.path()).unwrap();
        let copy = directory.path().join("copy");
        recipe.write(&copy).unwrap();
        assert_eq!(load(&copy).unwrap(), recipe);
        fs::write(copy.join("sub/data"), [0, 254]).unwrap();
        assert_ne!(load(&copy).unwrap().hash(), recipe.hash());
    }

    #[test]
    fn bad_recipes_are_refused_with_a_reason() {
        for (manifest, reason) in [
            ("", "description"),
            ("description = \"x\"\nscript = \"other.sh\"\n", "other.sh"),
            ("description = \"x\"\nscript = \"../build.sh\"\n", "script"),
            (&format!("{SMALL}surprise = 1\n"), "surprise"),
            (&format!("{SMALL}memory = \"1M\"\n"), "memory"),
            (&format!("{SMALL}timeout_seconds = 0\n"), "timeout_seconds"),
            (&format!("{SMALL}parent = \"../x\"\n"), "parent"),
            (&format!("{SMALL}parts = [\"kernels/x\"]\n"), "kernels/bash"),
            (&format!("{SMALL}[template]\nworkdir = \"x\"\n"), "workdir"),
            (&format!("{SMALL}[template.env]\n\"A=B\" = \"x\"\n"), "A=B"),
        ] {
            let directory = directory(manifest);
            let refused = load(directory.path()).unwrap_err();
            let cause = std::error::Error::source(&refused).map(ToString::to_string);
            let refused = format!("{refused}: {}", cause.unwrap_or_default());
            assert!(refused.contains(reason), "{manifest}: {refused}");
        }
    }

    #[test]
    fn links_and_too_many_files_are_refused() {
        let linked = directory(SMALL);
        symlink("/etc/shadow", linked.path().join("link")).unwrap();
        assert!(matches!(load(linked.path()), Err(RecipeError::Kind(_))));
        let many = directory(SMALL);
        for n in 0..MAX_FILES {
            fs::write(many.path().join(format!("f{n}")), "").unwrap();
        }
        assert!(matches!(
            load(many.path()),
            Err(RecipeError::TooLarge { .. })
        ));
        assert!(matches!(
            load(Path::new("/no/such")),
            Err(RecipeError::Read { .. })
        ));
    }
}
