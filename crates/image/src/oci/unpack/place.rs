//! Where the members of a layer go: directories are opened one below the other, from the tree's
//! root, and nothing is ever reached by a path that starts elsewhere.
//!
//! A link of the same layer in the way of a member is followed as in Docker's chroot: Linux resolves
//! it with the tree as root (`RESOLVE_IN_ROOT`), so that neither `..` nor an absolute text leads
//! out. Nobody else writes to the tree meanwhile.

use super::dress::opaque;
use super::error::{refused, shown};
use super::{Problem, UnpackError};
use crate::remove::remove_at;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The directories of a tree that is being filled.
pub(super) struct Places {
    root: OwnedFd,
    /// The directory of the last member, which is mostly that of the next one too.
    last: Option<(Vec<u8>, OwnedFd)>,
}

/// What had the name of a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    Nothing,
    Directory,
    /// What says that the name is gone below.
    Whiteout,
    Other,
}

impl Places {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory that has the entry `path`, and the entry's name. It is made if it is missing.
    pub(super) fn of<'p>(
        &mut self,
        path: &'p [u8],
    ) -> Result<(BorrowedFd<'_>, &'p OsStr), UnpackError> {
        let (parent, name) = split(path);
        let known = matches!(&self.last, Some((known, _)) if known == parent);
        if !known && !parent.is_empty() {
            let open = self.open(parent)?;
            self.last = Some((parent.to_vec(), open));
        }
        match &self.last {
            Some((_, open)) if !parent.is_empty() => Ok((open.as_fd(), name)),
            _ => Ok((self.root.as_fd(), name)),
        }
    }

    /// Opens a directory that is there already, through no link.
    pub(super) fn there(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        rustix::fs::openat2(&self.root, path, DIRECTORY, Mode::empty(), BENEATH)
    }

    /// Opens a directory, made if it is missing.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        match self.there(path) {
            Ok(open) => return Ok(open),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
            Err(errno) => return Err(refused("open", path)(errno)),
        }
        let mut open: Option<OwnedFd> = None;
        let mut end = 0;
        for part in path.split(|byte| *byte == b'/') {
            end += part.len() + usize::from(end > 0);
            let so_far = &path[..end];
            let at = open.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let next = rustix::fs::openat2(at, part, DIRECTORY, Mode::empty(), BENEATH);
            open = Some(match next {
                Ok(next) => next,
                Err(Errno::NOENT) => make(at, part, so_far)?,
                Err(Errno::LOOP) => self.through(so_far)?,
                Err(Errno::NOTDIR) => reveal(at, part, so_far)?,
                Err(errno) => return Err(refused("open", so_far)(errno)),
            });
        }
        open.ok_or_else(|| UnpackError::path(path, Problem::Empty))
    }

    /// Opens the directory that a link leads to.
    fn through(&self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), IN_ROOT)
            .map_err(|_| UnpackError::path(path, Problem::LinkInTheWay))
    }

    /// Makes room for a new entry that is no directory, and tells what was there.
    pub(super) fn clear(&mut self, path: &[u8]) -> Result<Was, UnpackError> {
        let (at, name) = self.of(path)?;
        let was = look(at, name, path)?;
        match was {
            Was::Nothing => return Ok(was),
            Was::Directory => {
                remove_at(at, name).map_err(|source| UnpackError::Replace {
                    path: shown(path),
                    source,
                })?;
            }
            Was::Whiteout | Was::Other => rustix::fs::unlinkat(at, name, AtFlags::empty())
                .map_err(refused("replace", path))?,
        }
        // The directory of the last member may have been below it, or reached through it.
        self.last = None;
        Ok(was)
    }

    /// Makes a directory, or takes the one that is there. Gives it open.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let (at, name) = self.of(path)?;
        match look(at, name, path)? {
            Was::Directory => open_one(at, name.as_bytes(), path),
            Was::Nothing => make(at, name.as_bytes(), path),
            was => {
                self.clear(path)?;
                let (at, name) = self.of(path)?;
                let open = make(at, name.as_bytes(), path)?;
                if was == Was::Whiteout {
                    opaque(&open, path)?;
                }
                Ok(open)
            }
        }
    }
}

/// What has the name of an entry.
pub(super) fn look(at: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<Was, UnpackError> {
    match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Was::Directory,
            // Only whiteouts are made of this kind.
            FileType::CharacterDevice => Was::Whiteout,
            _ => Was::Other,
        }),
        Err(Errno::NOENT) => Ok(Was::Nothing),
        Err(errno) => Err(refused("look at", path)(errno)),
    }
}

/// Makes a directory of root's.
fn make(at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, UnpackError> {
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(at, name, mode).map_err(refused("make directory", path))?;
    let open = open_one(at, name, path)?;
    // Whatever the umask is.
    rustix::fs::fchmod(&open, mode).map_err(refused("set the mode of", path))?;
    Ok(open)
}

/// Makes a directory where one of below was said to be gone.
fn reveal(at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, UnpackError> {
    if look(at, OsStr::from_bytes(name), path)? != Was::Whiteout {
        return Err(UnpackError::path(path, Problem::FileInTheWay));
    }
    rustix::fs::unlinkat(at, name, AtFlags::empty()).map_err(refused("replace", path))?;
    let open = make(at, name, path)?;
    opaque(&open, path)?;
    Ok(open)
}

fn open_one(at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, UnpackError> {
    rustix::fs::openat2(at, name, DIRECTORY, Mode::empty(), BENEATH).map_err(refused("open", path))
}

/// The directory part of a path, empty for the root's, and the last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], OsStr::from_bytes(&path[slash + 1..])),
        None => (&[], OsStr::from_bytes(path)),
    }
}
