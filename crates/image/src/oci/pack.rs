//! Making the tar file of a tree: what [`unpack`](super::unpack) makes the same tree of.
//!
//! The same tree gives the same bytes: names are sorted, and there is nothing in the file that is
//! not in the tree. The tree is hostile: nothing is followed, and depth, count and bytes are
//! bounded.

mod header;

use crate::layers::OPAQUE;
use crate::measure::{MAX_DEPTH, MAX_FILES};
use header::{BLOCK, Header, Kind};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes of all files together; a hole counts as what it shows.
const MAX_BYTES: u64 = 64 << 30;
const CAPABILITY: &[u8] = b"security.capability";
const GONE: &str = ".wh.";
const ALL_GONE: &str = ".wh..wh..opq";

/// Why a tree was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is deeper than [`MAX_DEPTH`].
    #[error("a directory lies deeper than {MAX_DEPTH} levels below {0}")]
    Depth(PathBuf),
    /// It has more than [`MAX_FILES`] entries.
    #[error("there are more than {MAX_FILES} files below {0}")]
    Files(PathBuf),
    /// Its files are longer than 64 GiB together.
    #[error("there are more than {MAX_BYTES} bytes below {0}")]
    Bytes(PathBuf),
    /// A file has a name that means something else in a tar file.
    #[error("{0:?} would say in an image that a file is removed: give it another name")]
    Mark(PathBuf),
    /// A file was changed meanwhile.
    #[error("{0:?} changed while it was read")]
    Changed(PathBuf),
    /// Linux refused a step.
    #[error("cannot {what} {path:?}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The path in the tree.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the tar file")]
    Write(#[source] io::Error),
}

fn refused(what: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> PackError {
    move |errno| PackError::Refused {
        what,
        path: shown(path),
        source: errno.into(),
    }
}

fn shown(path: &[u8]) -> PathBuf {
    String::from_utf8_lossy(path).into_owned().into()
}

/// What a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeOf {
    /// A layer, in the form of overlayfs.
    Layer,
    /// A directory of somebody's, whose files are given to root.
    Roots,
    /// A directory of somebody's, whose files keep their owners.
    Owners,
}

/// Attributes of a file, by name.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// What was packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Entries, the root among them.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Devices and sockets, which were left out.
    pub left_out: u64,
}

/// Writes the tar file of a tree to `out`.
///
/// # Errors
/// [`PackError`]; what was written until then is of no use.
pub fn pack(tree: &Path, kind: TreeOf, out: &mut dyn Write) -> Result<Packed, PackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(tree, flags, Mode::empty());
    let root = root.map_err(refused("open", tree.as_os_str().as_bytes()))?;
    let mut packer = Packer {
        tree,
        kind,
        out,
        done: Packed::default(),
        several: HashMap::new(),
        buffer: vec![0; 256 << 10],
    };
    let stat = rustix::fs::fstat(&root).map_err(refused("look at", b"."))?;
    packer.directory(root.as_fd(), b".", &stat)?;
    let mut levels = vec![Level::read(root, Vec::new())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let path = join(&level.path, &name);
        if let Some(below) = packer.entry(level.directory.as_fd(), &name, &path)? {
            if levels.len() >= MAX_DEPTH {
                return Err(PackError::Depth(tree.to_owned()));
            }
            levels.push(Level::read(below, path)?);
        }
    }
    packer.write(&[0; 2 * BLOCK])?;
    packer.out.flush().map_err(PackError::Write)?;
    Ok(packer.done)
}

/// A directory that is being packed.
struct Level {
    directory: OwnedFd,
    /// The names in it that are still to do, the last one first.
    names: Vec<Vec<u8>>,
    path: Vec<u8>,
}

impl Level {
    fn read(directory: OwnedFd, path: Vec<u8>) -> Result<Self, PackError> {
        let mut names = Vec::new();
        let mut listing = Dir::read_from(&directory).map_err(refused("read", &path))?;
        while let Some(entry) = listing.read() {
            let entry = entry.map_err(refused("read", &path))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
            if names.len() as u64 > MAX_FILES {
                return Err(PackError::Files(shown(&path)));
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self {
            directory,
            names,
            path,
        })
    }
}

struct Packer<'a> {
    tree: &'a Path,
    kind: TreeOf,
    out: &'a mut dyn Write,
    done: Packed,
    /// The first names of files that have several.
    several: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl Packer<'_> {
    /// Packs one entry. Gives it open if it is a directory.
    fn entry(
        &mut self,
        at: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<OwnedFd>, PackError> {
        let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refused("look at", path))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind.is_char_device() && stat.st_rdev == 0 && self.kind == TreeOf::Layer {
            return self.gone(path, name).map(|()| None);
        }
        if name.starts_with(GONE.as_bytes()) {
            return Err(PackError::Mark(shown(path)));
        }
        if stat.st_nlink > 1 && !kind.is_dir() {
            #[allow(clippy::useless_conversion, reason = "not 64 bits everywhere")]
            let file = (u64::from(stat.st_dev), u64::from(stat.st_ino));
            if let Some(first) = self.several.get(&file) {
                let twin = Header::new(Kind::Twin, path, &stat).link(first.clone());
                return self.header(twin).map(|()| None);
            }
            self.several.insert(file, path.to_vec());
        }
        match kind {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let open = open(at, name, flags).map_err(refused("open", path))?;
                self.directory(open.as_fd(), path, &stat)?;
                return Ok(Some(open));
            }
            FileType::RegularFile => self.file(at, name, path)?,
            FileType::Symlink => {
                let to = rustix::fs::readlinkat(at, name, Vec::new())
                    .map_err(refused("read the link", path))?;
                let link = Header::new(Kind::Symlink, path, &stat).link(to.into_bytes());
                self.header(link)?;
            }
            FileType::Fifo => self.header(Header::new(Kind::Fifo, path, &stat))?,
            _ => self.done.left_out += 1,
        }
        Ok(None)
    }

    /// What a layer says about a name that is gone.
    fn gone(&mut self, path: &[u8], name: &[u8]) -> Result<(), PackError> {
        let directory = &path[..path.len() - name.len()];
        let mark = [directory, GONE.as_bytes(), name].concat();
        self.header(Header::mark(&mark))
    }

    fn directory(
        &mut self,
        open: BorrowedFd<'_>,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), PackError> {
        let (attributes, opaque) = attributes(open, path)?;
        let mut name = path.to_vec();
        name.push(b'/');
        let header = Header::new(Kind::Directory, &name, stat).attributes(attributes);
        self.header(header)?;
        if opaque && self.kind == TreeOf::Layer && path != b"." {
            self.header(Header::mark(&join(path, ALL_GONE.as_bytes())))?;
        }
        Ok(())
    }

    fn file(&mut self, at: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), PackError> {
        let file =
            open(at, name, OFlags::RDONLY | OFlags::NONBLOCK).map_err(refused("open", path))?;
        // Of what is open: another file may have the name by now.
        let stat = rustix::fs::fstat(&file).map_err(refused("look at", path))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(PackError::Changed(shown(path)));
        }
        let (attributes, _) = attributes(file.as_fd(), path)?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > MAX_BYTES {
            return Err(PackError::Bytes(self.tree.to_owned()));
        }
        self.header(Header::new(Kind::File(size), path, &stat).attributes(attributes))?;
        let mut file = File::from(file);
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let read = match file.read(&mut self.buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|source| PackError::Refused {
                    what: "read",
                    path: shown(path),
                    source,
                })?,
            };
            if read == 0 {
                return Err(PackError::Changed(shown(path)));
            }
            self.out
                .write_all(&self.buffer[..read])
                .map_err(PackError::Write)?;
            left -= read as u64;
        }
        let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size);
        self.write(&[0; BLOCK][..padding.unwrap_or_default()])
    }

    fn header(&mut self, mut header: Header) -> Result<(), PackError> {
        self.done.entries += 1;
        if self.done.entries > MAX_FILES {
            return Err(PackError::Files(self.tree.to_owned()));
        }
        if self.kind == TreeOf::Roots {
            header.give_to_root();
        }
        self.write(&header.bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.out.write_all(bytes).map_err(PackError::Write)
    }
}

fn open(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(
        at,
        name,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

/// The attributes that an image may have, sorted, and whether a directory is opaque.
fn attributes(open: BorrowedFd<'_>, path: &[u8]) -> Result<(Attributes, bool), PackError> {
    let mut list = vec![0; 65_536];
    let length = match rustix::fs::flistxattr(open, &mut list) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(refused("read the attributes of", path)(errno)),
    };
    let (mut found, mut opaque) = (Vec::new(), false);
    for name in list[..length].split(|byte| *byte == 0) {
        if OPAQUE.iter().any(|known| known.as_bytes() == name) {
            opaque = true;
        }
        let ours = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !ours && name != CAPABILITY {
            continue;
        }
        let mut value = vec![0; 65_536];
        let length = rustix::fs::fgetxattr(open, name, &mut value)
            .map_err(refused("read an attribute of", path))?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok((found, opaque))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests;
