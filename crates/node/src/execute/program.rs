//! What is run: code, a file or a directory of the host, read before any sandbox is made.

mod tree;

use bytes::Bytes;
use soulbox_model::language::java;
use soulbox_model::{Language, LanguageError};
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tree::Tree;

/// The home of `user` in every template.
pub const HOME: &str = "/home/user";

/// What is run could not be read or understood.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Nothing of that name exists.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The code is larger than what is accepted.
    #[error("the code is larger than {limit} bytes (setting execute.code)")]
    TooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The directory has more files than are accepted.
    #[error("{} has more than {limit} files (setting execute.files)", path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The most that is accepted.
        limit: u32,
    },
    /// Nothing in the directory says where to begin.
    #[error("cannot tell where to begin in {}", .0.display())]
    NoEntry(PathBuf),
    /// A name that is not UTF-8.
    #[error("the file name {} is not valid UTF-8", .0.display())]
    Name(PathBuf),
    /// Two files have one place.
    #[error("{0} is there twice, or is the code's own file")]
    Twice(String),
    /// The language is unknown or cannot be told.
    #[error(transparent)]
    Language(#[from] LanguageError),
}

/// How much is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The largest piece of code, in bytes.
    pub code: u64,
    /// The most files in a directory.
    pub files: u32,
}

/// A file of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFile {
    /// Where it goes in the sandbox.
    pub remote: String,
    /// What it holds.
    pub content: Content,
    /// Whether it may be executed.
    pub executable: bool,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// What this file of the host holds when it is copied.
    Host(PathBuf),
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its language.
    pub language: &'static Language,
    /// Its files.
    pub files: Vec<ProgramFile>,
    /// The directory in the sandbox that its files go to.
    pub home: String,
    /// The file in the sandbox that it begins with.
    pub entry: String,
    /// All files that a compiler must be given.
    pub sources: Vec<String>,
    /// Java's name of the class that has `main`; empty for other languages.
    pub class: String,
    /// Links of the directory that lead out of it, and so were not followed.
    pub skipped: Vec<PathBuf>,
}

impl Program {
    /// A program of one file. `name` is its file name; without one the language says it.
    pub fn of_code(code: Bytes, language: &'static Language, name: Option<&str>) -> Self {
        let name = name.map_or_else(|| language.file_name(&code), str::to_owned);
        let entry = format!("{HOME}/{name}");
        Self {
            language,
            home: HOME.to_owned(),
            sources: vec![entry.clone()],
            class: class(language, &code),
            files: vec![ProgramFile {
                remote: entry.clone(),
                content: Content::Bytes(code),
                executable: false,
            }],
            entry,
            skipped: Vec::new(),
        }
    }

    /// Adds files of the caller's, which are there before the code starts. A compiler is given those of its
    /// language that lie beside or below the entry, as of a directory.
    ///
    /// # Errors
    /// [`ProgramError::Twice`] when one would take the place of another.
    pub fn add_files(&mut self, files: Vec<ProgramFile>) -> Result<(), ProgramError> {
        for file in files {
            if self.files.iter().any(|known| known.remote == file.remote) {
                return Err(ProgramError::Twice(file.remote));
            }
            let below = file.remote.strip_prefix(&format!("{}/", self.home));
            let name = below.map(str::to_owned);
            if let Some(name) = name
                && !sources(self.language, &[name], "").is_empty()
            {
                self.sources.push(file.remote.clone());
            }
            self.files.push(file);
        }
        Ok(())
    }

    /// Reads the file or directory at `path`. `language` is what the user said, if anything.
    ///
    /// # Errors
    /// [`ProgramError`] when it cannot be read, is too large, or its language cannot be told.
    pub fn load(
        path: &Path,
        language: Option<&'static Language>,
        bounds: Bounds,
    ) -> Result<Self, ProgramError> {
        let about = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ProgramError::Missing(path.to_owned())
            }
            _ => unreadable(path, error),
        })?;
        if about.is_dir() {
            return Self::load_directory(path, language, bounds);
        }
        let code = read(path, bounds.code)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| ProgramError::Name(path.to_owned()))?;
        let language = match language {
            Some(language) => language,
            None => Language::of_file(name, &code)?,
        };
        // Java wants the file named by its class, so its own name is not kept.
        let kept = (language.name != "java").then_some(name);
        Ok(Self::of_code(code, language, kept))
    }

    fn load_directory(
        root: &Path,
        language: Option<&'static Language>,
        bounds: Bounds,
    ) -> Result<Self, ProgramError> {
        let mut tree = Tree::read(root, bounds.files)?;
        tree.names.sort();
        let (language, entry) = begin(root, &tree.names, language)?;
        let remote = |name: &str| format!("{HOME}/{name}");
        let class = match language.name {
            "java" => class(language, &read(&root.join(&entry), bounds.code)?),
            _ => String::new(),
        };
        let files = tree.names.iter().map(|name| ProgramFile {
            remote: remote(name),
            executable: is_executable(&root.join(name)),
            content: Content::Host(root.join(name)),
        });
        Ok(Self {
            language,
            files: files.collect(),
            home: HOME.to_owned(),
            sources: sources(language, &tree.names, &entry)
                .iter()
                .map(|name| remote(name))
                .collect(),
            entry: remote(&entry),
            class,
            skipped: tree.skipped,
        })
    }
}

fn class(language: &Language, code: &[u8]) -> String {
    match language.name {
        "java" => java::Program::of(code).class,
        _ => String::new(),
    }
}

fn unreadable(path: &Path, source: io::Error) -> ProgramError {
    ProgramError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// Reads at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Result<Bytes, ProgramError> {
    let told = |error| unreadable(path, error);
    let mut code = Vec::new();
    let file = fs::File::open(path).map_err(told)?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut code)
        .map_err(told)?;
    if code.len() as u64 > limit {
        return Err(ProgramError::TooLarge { limit });
    }
    Ok(code.into())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o111 != 0)
}

/// The language and the file that a directory begins with.
fn begin(
    root: &Path,
    names: &[String],
    language: Option<&'static Language>,
) -> Result<(&'static Language, String), ProgramError> {
    let candidates: Vec<&'static Language> = match language {
        Some(language) => vec![language],
        None => soulbox_model::language::LANGUAGES.iter().collect(),
    };
    for language in &candidates {
        let known = language
            .entries
            .iter()
            .find(|entry| names.iter().any(|name| name == *entry));
        if let Some(entry) = known {
            return Ok((language, (*entry).to_owned()));
        }
    }
    // Else a lone file of a known language at the top.
    let top = names
        .iter()
        .filter(|name| Path::new(name).components().count() == 1);
    let mut lone = top.filter_map(|name| {
        let language = Language::of_file_name(name)?;
        candidates
            .contains(&language)
            .then(|| (language, name.clone()))
    });
    match (lone.next(), lone.next()) {
        (Some(found), None) => Ok(found),
        _ => Err(ProgramError::NoEntry(root.to_owned())),
    }
}

/// What the compiler of `language` is given: all its files beside or below the entry.
fn sources(language: &Language, names: &[String], entry: &str) -> Vec<String> {
    let directory = Path::new(entry).parent().unwrap_or(Path::new(""));
    // A Go package is a directory; its test files are not part of the program.
    let fits = |name: &&String| {
        let path = Path::new(name.as_str());
        let same = Language::of_file_name(name).is_some_and(|of| of.name == language.name);
        let beside = path.parent() == Some(directory);
        let plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        match language.name {
            "go" => same && beside && !name.ends_with("_test.go"),
            _ => same && plain && path.starts_with(directory),
        }
    };
    names.iter().filter(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        code: 1000,
        files: 10,
    };

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_file_keeps_its_name() {
        let root = tree(&[("fib.py", "print(1)")]);
        let program = Program::load(&root.path().join("fib.py"), None, BOUNDS).unwrap();
        assert_eq!(program.entry, "/home/user/fib.py");
        assert_eq!(program.language.name, "python");
    }

    #[test]
    fn java_is_named_by_its_class() {
        let root = tree(&[("x.java", "public class Fib { }")]);
        let program = Program::load(&root.path().join("x.java"), None, BOUNDS).unwrap();
        assert_eq!(program.entry, "/home/user/Fib.java");
        assert_eq!(program.class, "Fib");
    }

    #[test]
    fn what_is_missing_too_large_or_unknown_is_told() {
        let root = tree(&[("big.py", &"x".repeat(1001)), ("what", "hello")]);
        let load = |name: &str| Program::load(&root.path().join(name), None, BOUNDS);
        assert!(matches!(load("none.py"), Err(ProgramError::Missing(_))));
        assert!(matches!(load("big.py/x"), Err(ProgramError::Missing(_))));
        assert!(matches!(
            load("big.py"),
            Err(ProgramError::TooLarge { limit: 1000 })
        ));
        assert!(matches!(load("what"), Err(ProgramError::Language(_))));
    }

    #[test]
    fn empty_code_is_a_program() {
        let root = tree(&[("a.py", "")]);
        assert!(Program::load(&root.path().join("a.py"), None, BOUNDS).is_ok());
    }

    #[test]
    fn a_directory_begins_with_its_known_entry() {
        let root = tree(&[("main.py", ""), ("lib/a.py", ""), ("data.txt", "")]);
        let program = Program::load(root.path(), None, BOUNDS).unwrap();
        assert_eq!(program.entry, "/home/user/main.py");
        assert_eq!(program.files.len(), 3);
    }

    #[test]
    fn a_directory_without_an_entry_is_told() {
        let two = tree(&[("a.py", ""), ("b.py", "")]);
        assert!(matches!(
            Program::load(two.path(), None, BOUNDS),
            Err(ProgramError::NoEntry(_))
        ));
        let one = tree(&[("a.py", ""), ("data.csv", "")]);
        assert!(Program::load(one.path(), None, BOUNDS).is_ok());
    }

    #[test]
    fn a_compiler_gets_all_sources() {
        let root = tree(&[("main.c", ""), ("util/sum.c", ""), ("util/sum.h", "")]);
        let program = Program::load(root.path(), None, BOUNDS).unwrap();
        assert_eq!(
            program.sources,
            ["/home/user/main.c", "/home/user/util/sum.c"]
        );
        let root = tree(&[("main.go", ""), ("main_test.go", ""), ("sub/x.go", "")]);
        let program = Program::load(root.path(), None, BOUNDS).unwrap();
        assert_eq!(program.sources, ["/home/user/main.go"]);
    }

    #[test]
    fn links_that_lead_out_are_not_followed() {
        let root = tree(&[("main.py", ""), ("real.txt", "")]);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        };
        link("/etc/passwd", "stolen");
        link("real.txt", "inside");
        link("..", "up");
        link("nowhere", "broken");
        let program = Program::load(root.path(), None, BOUNDS).unwrap();
        let names: Vec<_> = program
            .files
            .iter()
            .map(|file| file.remote.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "/home/user/inside",
                "/home/user/main.py",
                "/home/user/real.txt"
            ]
        );
        assert_eq!(program.skipped.len(), 3);
    }

    #[test]
    fn a_directory_with_too_many_files_is_refused() {
        let names: Vec<_> = (0..11).map(|n| format!("{n}.py")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let root = tree(&files);
        let error = Program::load(root.path(), None, BOUNDS).unwrap_err();
        assert!(
            matches!(error, ProgramError::TooManyFiles { limit: 10, .. }),
            "{error}"
        );
    }
}
