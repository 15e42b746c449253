//! The directory that a build copies files from.
//!
//! | What | File |
//! |---|---|
//! | `.dockerignore`, and `--exclude` | `ignore`, `pattern` |
//! | which files a COPY takes, and what they hash to | `named`, `choose` |
//! | handing them over | `tar` |
//!
//! The directory belongs to whoever builds, but other programs of theirs may write in it
//! meanwhile. Nothing outside of it is ever read: links lead to what they name inside of it.

mod choose;
mod ignore;
mod named;
mod pattern;
mod tar;

#[cfg(test)]
mod tests;

pub use choose::{Chosen, Entry, Kind};

use ignore::Ignore;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The most entries that one COPY takes.
pub const MAX_FILES: usize = 500_000;
/// The deepest directory of a context; each level needs a descriptor.
pub const MAX_DEPTH: usize = 100;
/// Links that are followed on the way to one source.
const MAX_LINKS: usize = 40;
/// What says which files are left out.
const IGNORE_FILE: &str = ".dockerignore";

/// Why files of a context cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file of it cannot be read.
    #[error("cannot read {path} of the build's directory")]
    Read {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// A line of the ignore file means nothing.
    #[error("{path}:{line}: {problem}")]
    Ignore {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An `--exclude` or a source with wildcards means nothing.
    #[error("the pattern {pattern:?} means nothing: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// No file is called so.
    #[error("there is no {wanted:?} in {directory}{}", if *ignored {
        "; .dockerignore leaves it out"
    } else {
        "; sources are relative to the build's directory"
    })]
    Nothing {
        /// What the step names.
        wanted: String,
        /// The build's directory.
        directory: PathBuf,
        /// Whether it is there but left out.
        ignored: bool,
    },
    /// A path leads out.
    #[error("{0:?} leads out of the build's directory; copy the file into it")]
    Outside(String),
    /// There is more than a step may copy.
    #[error(
        "a step copies more than {MAX_FILES} files, or from deeper than {MAX_DEPTH} directories; \
         leave out what is not needed in .dockerignore"
    )]
    TooMany,
    /// A file was written to while it was copied.
    #[error("{0} changed while it was copied; build again when nothing writes to it")]
    Changed(PathBuf),
    /// What the files are handed to did not take them.
    #[error("cannot hand over the build's files")]
    Write(#[source] io::Error),
}

/// A directory that a build copies files from.
#[derive(Debug)]
pub struct Context {
    root: OwnedFd,
    directory: PathBuf,
    ignore: Ignore,
}

impl Context {
    /// Opens `directory`. What is left out is in the file called as the Dockerfile with
    /// `.dockerignore` behind its name, or else in the directory's own `.dockerignore`.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open(directory: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())
            .map_err(|errno| read_error(directory, errno))?;
        Ok(Self {
            root,
            directory: directory.to_owned(),
            ignore: ignore(directory, dockerfile)?,
        })
    }

    /// A tree that is open already, of which nothing is left out; `shown`: what it is called in
    /// messages.
    pub fn of_tree(root: OwnedFd, shown: &Path) -> Self {
        Self {
            root,
            directory: shown.to_owned(),
            ignore: Ignore::default(),
        }
    }

    /// The directory, as it was given.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens what is at `path`, where no part is a link.
    fn at(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        let mut flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            // A named pipe must not be waited for.
            flags |= OFlags::NONBLOCK;
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn read_error(&self, path: &Path, errno: Errno) -> ContextError {
        read_error(&self.directory.join(path), errno)
    }
}

fn read_error(path: &Path, errno: Errno) -> ContextError {
    ContextError::Read {
        path: path.to_owned(),
        source: errno.into(),
    }
}

fn ignore(directory: &Path, dockerfile: Option<&Path>) -> Result<Ignore, ContextError> {
    let mut own = dockerfile.map(|path| path.as_os_str().to_owned());
    if let Some(own) = &mut own {
        own.push(IGNORE_FILE);
    }
    let common = directory.join(IGNORE_FILE);
    for path in own
        .iter()
        .map(OsString::from)
        .map(PathBuf::from)
        .chain([common])
    {
        let refused = |source| ContextError::Read {
            path: path.clone(),
            source,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(refused(error)),
        };
        let mut text = String::new();
        let mut limited = file.take(ignore::MAX_BYTES + 1);
        limited.read_to_string(&mut text).map_err(refused)?;
        let at = |(line, problem)| ContextError::Ignore {
            path: path.clone(),
            line,
            problem,
        };
        if limited.limit() == 0 {
            return Err(at((1, "the file has more than 1 MiB".to_owned())));
        }
        return Ignore::parse(&text).map_err(at);
    }
    Ok(Ignore::default())
}
