//! What a source names: a path, or with wildcards several, and where links in it lead.

use super::pattern::Pattern;
use super::{Context, ContextError, MAX_FILES, MAX_LINKS};
use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

impl Context {
    /// The paths that a source names: itself, or with wildcards any number but none.
    pub(super) fn named(&self, source: &str) -> Result<Vec<PathBuf>, ContextError> {
        let mut found = vec![PathBuf::new()];
        let mut fitted = false;
        for part in source.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    for path in &mut found {
                        if !path.pop() {
                            return Err(ContextError::Outside(source.to_owned()));
                        }
                    }
                }
                part if !part.contains(['*', '?', '[', '\\']) => {
                    found.iter_mut().for_each(|path| path.push(part));
                }
                part => {
                    found = self.fitting(source, &found, part)?;
                    fitted = true;
                }
            }
        }
        if fitted {
            // What stands behind a wildcard need not be in every directory that fits it.
            found.retain(|path| {
                matches!(self.real(source, path), Ok(Some(_))) && !self.ignored(path)
            });
        }
        match found.is_empty() {
            true => Err(self.nothing(source, false)),
            false => Ok(found),
        }
    }

    /// The paths one part below `above` that fit a pattern.
    fn fitting(
        &self,
        source: &str,
        above: &[PathBuf],
        part: &str,
    ) -> Result<Vec<PathBuf>, ContextError> {
        let pattern = Pattern::source(part).map_err(|problem| ContextError::Pattern {
            pattern: source.to_owned(),
            problem,
        })?;
        let mut found = Vec::new();
        for directory in above {
            // What is no directory has nothing that fits.
            let Ok(Some(real)) = self.real(source, directory) else {
                continue;
            };
            let Ok(fd) = self.at(&real, OFlags::RDONLY | OFlags::DIRECTORY) else {
                continue;
            };
            let (_, names) = names(self, &real, fd)?;
            for name in names
                .iter()
                .filter(|name| pattern.fits(&name.to_string_lossy()))
            {
                found.push(directory.join(name));
                if found.len() > MAX_FILES {
                    return Err(ContextError::TooMany);
                }
            }
        }
        Ok(found)
    }

    /// Where a path leads when the links in it are followed, within the context. `None`: nowhere.
    pub(super) fn real(&self, source: &str, path: &Path) -> Result<Option<PathBuf>, ContextError> {
        let mut todo: VecDeque<OsString> = path.iter().map(OsString::from).collect();
        let mut real = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == "." || part == "/" {
                continue;
            }
            if part == ".." {
                // As in Linux, there is nothing above the root, and the context is one.
                real.pop();
                continue;
            }
            real.push(&part);
            let fd = match self.at(&real, OFlags::PATH) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(self.read_error(&real, errno)),
            };
            let stat = rustix::fs::fstat(&fd).map_err(|errno| self.read_error(&real, errno))?;
            if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(ContextError::Outside(source.to_owned()));
            }
            let target = rustix::fs::readlinkat(&fd, "", Vec::new())
                .map_err(|errno| self.read_error(&real, errno))?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            real.pop();
            if target.is_absolute() {
                real = PathBuf::new();
            }
            for part in target.iter().rev() {
                todo.push_front(part.to_owned());
            }
        }
        Ok(Some(real))
    }

    /// Whether a path is left out by the ignore file.
    pub(super) fn ignored(&self, path: &Path) -> bool {
        self.ignore.leaves_out(&path.to_string_lossy())
    }

    pub(super) fn nothing(&self, source: &str, ignored: bool) -> ContextError {
        ContextError::Nothing {
            wanted: source.to_owned(),
            directory: self.directory.clone(),
            ignored,
        }
    }
}

/// The names in a directory, in order: the digest must not depend on the disk's.
pub(super) fn names(
    context: &Context,
    path: &Path,
    fd: OwnedFd,
) -> Result<(OwnedFd, Vec<OsString>), ContextError> {
    let refused = |errno| context.read_error(path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(&fd).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsString::from_vec(name.to_owned()));
        }
        if names.len() > MAX_FILES {
            return Err(ContextError::TooMany);
        }
    }
    names.sort_unstable();
    Ok((fd, names))
}
