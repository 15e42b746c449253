//! Making a layer's tree of the tar file of an image's layer
//! ([specification](https://github.com/opencontainers/image-spec/blob/main/layer.md)).
//!
//! The file is hostile. What it may hold against us, and the answer:
//!
//! | The file has | so here |
//! |---|---|
//! | paths with `..`, absolute paths | the one is refused, the other is taken to be below the tree |
//! | members behind links | a link is resolved with the tree as root; one that leads nowhere is refused |
//! | hard links to anywhere | the other name is looked up in the same way, and is a file of the tree |
//! | the same path again | the last one stays; nothing is ever written through what was there |
//! | devices | left out and counted: no sandbox may have one that a file says |
//! | attributes | `user.*` and a file's capabilities are kept, nothing of overlayfs or the system |
//! | ids that sandboxes do not have | they become those of `nobody`, and are counted |
//! | endless headers, files, names | [`UnpackLimits`]; a header is at most 1 MiB |
//! | files that are mostly holes | refused: no builder of images writes them |
//!
//! What a layer removes is written as overlayfs has it: `.wh.<name>` makes a character device 0:0,
//! `.wh..wh..opq` the attribute of an opaque directory. Both are about the layers below only: a
//! directory that is also in this layer becomes opaque and keeps what it has.

mod dress;
mod error;
pub(super) mod member;
mod pax;
mod place;

pub use error::{Problem, UnpackError};

use crate::measure::{MAX_DEPTH, MAX_FILES};
use dress::{dress, opaque, times};
use error::refused;
use member::{Kind, Member, Members, Time};
use place::{Places, Was, look, split};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What stands before the name of something that the layers below have and that is gone.
const GONE: &[u8] = b".wh.";
/// Notes of the file system aufs, of which only [`ALL_GONE`] says something about a layer.
const NOTES: &[u8] = b".wh..wh.";
/// Nothing of what is below the directory that it is in shows.
const ALL_GONE: &[u8] = b".wh..wh..opq";
/// How many ids a sandbox has.
const IDS: u64 = 65_536;
/// The user and the group `nobody`.
const NOBODY: u32 = 65_534;
/// The longest name of a file on Linux's file systems.
const MAX_NAME: usize = 255;
/// The most bytes of paths of directories, whose times are set at the end.
const MAX_PATHS: usize = 64 << 20;

/// How much a layer may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Members of the tar file.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of a path; Linux takes 4095.
    pub path: usize,
    /// Directories on the way to a file.
    pub depth: usize,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            entries: MAX_FILES,
            bytes: 64 << 30,
            path: 4000,
            depth: MAX_DEPTH,
        }
    }
}

/// What was in a tar file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Members.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Devices, which were left out.
    pub devices: u64,
    /// Members whose owners no sandbox has, given to `nobody`.
    pub foreign: u64,
}

/// Unpacks the tar file of a layer into `tree`, an empty directory to which nobody else writes.
/// What follows the file's end is not read.
///
/// # Errors
/// [`UnpackError`]; the tree is of no use then.
pub fn unpack(tar: impl Read, tree: &Path, limits: &UnpackLimits) -> Result<Unpacked, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(tree, flags, Mode::empty());
    let root = root.map_err(refused("open", tree.as_os_str().as_bytes()))?;
    let mut unpacker = Unpacker {
        members: Members::new(tar),
        places: Places::new(root),
        limits,
        done: Unpacked::default(),
        times: BTreeMap::new(),
        paths: 0,
    };
    while let Some(member) = unpacker.members.next()? {
        unpacker.done.entries += 1;
        if unpacker.done.entries > limits.entries {
            return Err(UnpackError::Limit {
                what: "files",
                limit: limits.entries,
            });
        }
        unpacker.member(&member)?;
    }
    unpacker.set_times()?;
    Ok(unpacker.done)
}

struct Unpacker<'a, R> {
    members: Members<R>,
    places: Places,
    limits: &'a UnpackLimits,
    done: Unpacked,
    /// The times of directories, which change while they are filled.
    times: BTreeMap<Vec<u8>, Time>,
    /// The bytes of their paths.
    paths: usize,
}

impl<R: Read> Unpacker<'_, R> {
    fn member(&mut self, member: &Member) -> Result<(), UnpackError> {
        let path = self.normal(&member.path)?;
        let (parent, name) = split(&path);
        let name = name.as_bytes();
        let mut above = parent.split(|byte| *byte == b'/');
        if name == ALL_GONE {
            return self.all_gone(parent);
        }
        if name.starts_with(NOTES) || above.clone().any(|part| part.starts_with(NOTES)) {
            return Ok(());
        }
        if above.any(|part| part.starts_with(GONE)) {
            return Err(UnpackError::path(&path, Problem::Mark));
        }
        if let Some(gone) = name.strip_prefix(GONE) {
            return self.gone(parent, gone);
        }
        match member.kind {
            Kind::Directory => self.directory(path, member),
            _ if path.is_empty() => Err(UnpackError::path(b"/", Problem::Root)),
            Kind::File => self.file(&path, member),
            Kind::Symlink => self.symlink(&path, member),
            Kind::Hardlink => self.twin(&path, &member.link),
            Kind::Fifo => self.fifo(&path, member),
            Kind::Device => {
                self.done.devices += 1;
                Ok(())
            }
            Kind::Other(_) => Err(UnpackError::path(&path, Problem::Kind)),
        }
    }

    /// A path without what says nothing; empty for the root.
    fn normal(&self, path: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let wrong = |problem| UnpackError::path(path, problem);
        if path.is_empty() {
            return Err(wrong(Problem::Empty));
        }
        if path.contains(&0) {
            return Err(wrong(Problem::Zero));
        }
        if path.len() > self.limits.path.saturating_mul(2) {
            return Err(wrong(Problem::Long));
        }
        let mut normal = Vec::with_capacity(path.len());
        let mut depth = 0;
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(wrong(Problem::Up)),
                _ if part.len() > MAX_NAME => return Err(wrong(Problem::Long)),
                _ => {}
            }
            if depth > 0 {
                normal.push(b'/');
            }
            normal.extend_from_slice(part);
            depth += 1;
        }
        if normal.len() > self.limits.path || depth > self.limits.depth {
            return Err(wrong(Problem::Long));
        }
        Ok(normal)
    }

    fn directory(&mut self, path: Vec<u8>, member: &Member) -> Result<(), UnpackError> {
        let belongs = self.belongs(member);
        let open = match path.is_empty() {
            true => self.places.there(b"").map_err(refused("open", b"/"))?,
            false => self.places.directory(&path)?,
        };
        dress(open.as_fd(), &path, member, belongs)?;
        if !self.times.contains_key(&path) {
            self.paths += path.len();
            if self.paths > MAX_PATHS {
                return Err(UnpackError::Limit {
                    what: "bytes of names of directories",
                    limit: MAX_PATHS as u64,
                });
            }
        }
        self.times.insert(path, member.modified);
        Ok(())
    }

    fn file(&mut self, path: &[u8], member: &Member) -> Result<(), UnpackError> {
        let left = self.limits.bytes - self.done.bytes;
        if self.members.left() > left {
            return Err(UnpackError::Limit {
                what: "bytes",
                limit: self.limits.bytes,
            });
        }
        self.done.bytes += self.members.left();
        let belongs = self.belongs(member);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = self.fresh("make", path, |at, name| {
            rustix::fs::openat(at, name, flags, mode)
        })?;
        loop {
            let piece = self.members.piece()?;
            if piece.is_empty() {
                break;
            }
            let written = match rustix::io::write(&file, piece) {
                Err(Errno::INTR) => continue,
                written => written.map_err(refused("write", path))?,
            };
            self.members.used(written);
        }
        dress(file.as_fd(), path, member, belongs)?;
        rustix::fs::futimens(&file, &times(member.modified))
            .map_err(refused("set the time of", path))
    }

    fn symlink(&mut self, path: &[u8], member: &Member) -> Result<(), UnpackError> {
        if member.link.is_empty() || member.link.contains(&0) {
            return Err(UnpackError::path(path, Problem::Empty));
        }
        let belongs = self.belongs(member);
        self.fresh("make the link", path, |at, name| {
            rustix::fs::symlinkat(&member.link[..], at, name)
        })?;
        self.own(path, belongs)?;
        self.set_time(path, member.modified)
    }

    fn fifo(&mut self, path: &[u8], member: &Member) -> Result<(), UnpackError> {
        let belongs = self.belongs(member);
        let mode = Mode::from_raw_mode(member.mode & 0o777);
        self.fresh("make the pipe", path, |at, name| {
            rustix::fs::mknodat(at, name, FileType::Fifo, mode, 0)
        })?;
        self.own(path, belongs)?;
        let (at, name) = self.places.of(path)?;
        // It is one that was just made, and no link.
        rustix::fs::chmodat(at, name, mode, AtFlags::empty())
            .map_err(refused("set the mode of", path))?;
        self.set_time(path, member.modified)
    }

    /// Another name for a file that came before.
    fn twin(&mut self, path: &[u8], of: &[u8]) -> Result<(), UnpackError> {
        let of = self.normal(of)?;
        let wrong = || UnpackError::path(path, Problem::Twin);
        if of.is_empty() {
            return Err(wrong());
        }
        if of == path {
            return Ok(());
        }
        let (at, name) = self.places.of(&of)?;
        let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| wrong())?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(
            kind,
            FileType::RegularFile | FileType::Symlink | FileType::Fifo
        ) {
            return Err(wrong());
        }
        let at = rustix::io::fcntl_dupfd_cloexec(at, 0).map_err(refused("open", &of))?;
        self.fresh("link", path, |to, new| {
            rustix::fs::linkat(&at, name, to, new, AtFlags::empty())
        })
    }

    /// Makes an entry that is no directory, in the place of what has its name.
    fn fresh<T>(
        &mut self,
        what: &'static str,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &std::ffi::OsStr) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let (at, name) = self.places.of(path)?;
        match make(at, name) {
            Err(Errno::EXIST) => {}
            made => return made.map_err(refused(what, path)),
        }
        self.places.clear(path)?;
        let (at, name) = self.places.of(path)?;
        make(at, name).map_err(refused(what, path))
    }

    /// Notes that a name of the layers below is gone.
    fn gone(&mut self, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let mut path = parent.to_vec();
        if !parent.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if matches!(name, b"" | b"." | b"..") {
            return Err(UnpackError::path(&path, Problem::Mark));
        }
        let (at, name) = self.places.of(&path)?;
        match look(at, name, &path)? {
            Was::Nothing => {
                let kind = FileType::CharacterDevice;
                rustix::fs::mknodat(at, name, kind, Mode::empty(), 0)
                    .map_err(refused("mark as removed", &path))
            }
            Was::Directory => {
                let open = self.places.directory(&path)?;
                opaque(&open, &path)
            }
            // It hides what is below anyway.
            Was::Whiteout | Was::Other => Ok(()),
        }
    }

    /// Notes that nothing shows of what the layers below have in a directory.
    fn all_gone(&mut self, directory: &[u8]) -> Result<(), UnpackError> {
        if directory.is_empty() {
            // Overlayfs does not look for the attribute there.
            return Err(UnpackError::path(ALL_GONE, Problem::AllGone));
        }
        let open = self.places.open(directory)?;
        opaque(&open, directory)
    }

    /// Whom a member belongs to in sandboxes.
    fn belongs(&mut self, member: &Member) -> (Uid, Gid) {
        let inside = |id: u64| u32::try_from(id).ok().filter(|_| id < IDS);
        let (uid, gid) = (inside(member.uid), inside(member.gid));
        if uid.is_none() || gid.is_none() {
            self.done.foreign += 1;
        }
        let (uid, gid) = (uid.unwrap_or(NOBODY), gid.unwrap_or(NOBODY));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    fn own(&mut self, path: &[u8], (uid, gid): (Uid, Gid)) -> Result<(), UnpackError> {
        let (at, name) = self.places.of(path)?;
        rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refused("give away", path))
    }

    fn set_time(&mut self, path: &[u8], time: Time) -> Result<(), UnpackError> {
        let (at, name) = self.places.of(path)?;
        rustix::fs::utimensat(at, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refused("set the time of", path))
    }

    /// Sets the times of directories, which nothing changes any more.
    fn set_times(&mut self) -> Result<(), UnpackError> {
        for (path, time) in std::mem::take(&mut self.times) {
            let open = match path.is_empty() {
                true => rustix::io::fcntl_dupfd_cloexec(self.places.root(), 0),
                false => self.places.there(&path),
            };
            // Something else may have taken its place, or a link be on the way.
            let Ok(open) = open else {
                continue;
            };
            rustix::fs::futimens(&open, &times(time)).map_err(refused("set the time of", &path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
