//! Which files a COPY takes: sources by Docker's rules, without what is left out.

use super::ignore::{Above, Ignore};
use super::named::names;
use super::{Context, ContextError, MAX_DEPTH, MAX_FILES};
use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What one COPY takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// In the order in which they are written; a directory stands before what is in it.
    pub entries: Vec<Entry>,
    /// Whether it is one file that a source names: then the destination may be its new name.
    pub one_file: bool,
    /// The bytes of all files.
    pub bytes: u64,
    digest: [u8; 32],
}

/// A file, link or directory that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, below the destination.
    pub to: PathBuf,
    /// Where it is, below the context.
    pub from: PathBuf,
    /// Its mode, without its type.
    pub mode: u32,
    /// When it was changed last, in seconds; part of the copy, not of the digest.
    pub modified: i64,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A link, with its text.
    Link(PathBuf),
    /// A file.
    File {
        /// Its length.
        size: u64,
        /// By what it is known again.
        seen: Seen,
    },
}

/// What a file's status was when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    pub(super) fn of(stat: &Stat) -> Self {
        // The types of these differ between processors.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl Chosen {
    /// The SHA-256 of names, modes and contents: two choices with the same one copy the same.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl Context {
    /// Chooses what `sources` name, without what `excludes` and the ignore file leave out, and
    /// reads all of it once.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn choose(&self, sources: &[String], excludes: &[String]) -> Result<Chosen, ContextError> {
        let pattern = |problem| ContextError::Pattern {
            pattern: excludes.join(" "),
            problem,
        };
        let mut chooser = Chooser {
            context: self,
            excludes: Ignore::of_patterns(excludes).map_err(pattern)?,
            entries: Vec::new(),
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut files = 0;
        let mut found = 0;
        for source in sources {
            for path in self.named(source)? {
                found += 1;
                files += usize::from(chooser.source(source, &path)?);
            }
        }
        Ok(Chosen {
            one_file: found == 1 && files == 1,
            entries: chooser.entries,
            bytes: chooser.bytes,
            digest: chooser.hash.finalize().into(),
        })
    }
}

struct Chooser<'a> {
    context: &'a Context,
    excludes: Ignore,
    entries: Vec<Entry>,
    hash: Sha256,
    bytes: u64,
}

/// A directory that is being read.
struct Level<'a> {
    from: &'a Path,
    to: &'a Path,
    ignored: &'a Above,
    excluded: &'a Above,
    depth: usize,
}

impl Chooser<'_> {
    /// Takes what a source's path leads to. Tells whether that is a file.
    fn source(&mut self, source: &str, path: &Path) -> Result<bool, ContextError> {
        let context = self.context;
        let Some(real) = context.real(source, path)? else {
            return Err(context.nothing(source, false));
        };
        let refused = |errno| context.read_error(&real, errno);
        let fd = context.at(&real, OFlags::PATH).map_err(refused)?;
        let stat = rustix::fs::fstat(&fd).map_err(refused)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let before = self.entries.len();
            self.directory(&real)?;
            if self.entries.len() == before && context.ignored(&real) {
                return Err(context.nothing(source, true));
            }
            return Ok(false);
        }
        if context.ignored(&real) || context.ignored(path) {
            return Err(context.nothing(source, true));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        if self.excludes.leaves_out(&name.to_string_lossy()) {
            return Ok(true);
        }
        let fd = context.at(&real, OFlags::RDONLY).map_err(refused)?;
        self.file(fd, &stat, real.clone(), PathBuf::from(name))?;
        Ok(true)
    }

    /// Takes what is in a directory, not the directory itself.
    fn directory(&mut self, real: &Path) -> Result<(), ContextError> {
        let mut ignored = self.context.ignore.above();
        let mut so_far = PathBuf::new();
        for part in real.iter() {
            so_far.push(part);
            let path = so_far.to_string_lossy();
            ignored = self.context.ignore.verdict(&ignored, &path).1;
        }
        let excluded = self.excludes.above();
        self.level(&Level {
            from: real,
            to: Path::new(""),
            ignored: &ignored,
            excluded: &excluded,
            depth: 0,
        })
    }

    fn level(&mut self, level: &Level<'_>) -> Result<(), ContextError> {
        let context = self.context;
        if level.depth == MAX_DEPTH {
            return Err(ContextError::TooMany);
        }
        let fd = context
            .at(level.from, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| context.read_error(level.from, errno))?;
        let (fd, names) = names(context, level.from, fd)?;
        for name in names {
            let from = level.from.join(&name);
            let to = level.to.join(&name);
            let (left_out, ignored) = context
                .ignore
                .verdict(level.ignored, &from.to_string_lossy());
            let (excluded_too, excluded) =
                self.excludes.verdict(level.excluded, &to.to_string_lossy());
            let left_out = left_out || excluded_too;
            let may_return = context.ignore.may_return() || self.excludes.may_return();
            if left_out && !may_return {
                continue;
            }
            let refused = |errno| context.read_error(&from, errno);
            let stat =
                rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let before = self.entries.len();
                    self.push(&stat, from.clone(), to.clone(), Kind::Directory)?;
                    self.level(&Level {
                        from: &from,
                        to: &to,
                        ignored: &ignored,
                        excluded: &excluded,
                        depth: level.depth + 1,
                    })?;
                    // It is there only for what came back in it.
                    if left_out && self.entries.len() == before + 1 {
                        self.entries.pop();
                    }
                }
                _ if left_out => {}
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(&fd, &name, Vec::new()).map_err(refused)?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    self.push(&stat, from, to, Kind::Link(target))?;
                }
                FileType::RegularFile => {
                    let file = context.at(&from, OFlags::RDONLY).map_err(refused)?;
                    self.file(file, &stat, from, to)?;
                }
                // A socket or a device means nothing elsewhere.
                _ => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        fd: OwnedFd,
        before: &Stat,
        from: PathBuf,
        to: PathBuf,
    ) -> Result<(), ContextError> {
        let refused = |errno| self.context.read_error(&from, errno);
        let stat = rustix::fs::fstat(&fd).map_err(refused)?;
        let changed = || ContextError::Changed(self.context.directory.join(&from));
        if stat.st_ino != before.st_ino || !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(changed());
        }
        let seen = Seen::of(&stat);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut content = Sha256::new();
        let mut file = File::from(fd);
        let mut buffer = vec![0; 128 << 10];
        let mut read = 0_u64;
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(|source| ContextError::Read {
                    path: self.context.directory.join(&from),
                    source,
                })?;
            if count == 0 {
                break;
            }
            content.update(&buffer[..count]);
            read += count as u64;
            if read > size {
                return Err(changed());
            }
        }
        if read != size || Seen::of(&rustix::fs::fstat(&file).map_err(refused)?) != seen {
            return Err(changed());
        }
        self.bytes += size;
        self.push(&stat, from, to, Kind::File { size, seen })?;
        self.hash.update(content.finalize());
        Ok(())
    }

    fn push(
        &mut self,
        stat: &Stat,
        from: PathBuf,
        to: PathBuf,
        kind: Kind,
    ) -> Result<(), ContextError> {
        if self.entries.len() == MAX_FILES {
            return Err(ContextError::TooMany);
        }
        let mode = match kind {
            // Linux gives links a mode that means nothing.
            Kind::Link(_) => 0o777,
            _ => stat.st_mode & 0o7777,
        };
        let (letter, rest): (u8, &[u8]) = match &kind {
            Kind::Directory => (b'd', b""),
            Kind::Link(target) => (b'l', target.as_os_str().as_bytes()),
            Kind::File { .. } => (b'f', b""),
        };
        self.hash.update([letter]);
        self.hash.update(mode.to_le_bytes());
        for bytes in [to.as_os_str().as_bytes(), rest] {
            self.hash.update((bytes.len() as u64).to_le_bytes());
            self.hash.update(bytes);
        }
        self.entries.push(Entry {
            to,
            from,
            mode,
            #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
            modified: stat.st_mtime as i64,
            kind,
        });
        Ok(())
    }
}
