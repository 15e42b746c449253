//! The host's own file system, read with the eyes of a stranger.

use crate::tree::Owners;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The most entries of one directory that are read; `/etc/ssl/certs` has about 400.
const MAX_ENTRIES: usize = 20_000;

/// The root directory of the host, or of a tree that plays the host in a test. Absolute links in
/// it lead to places in it.
#[derive(Debug)]
pub struct HostRoot {
    fd: OwnedFd,
    path: PathBuf,
    owners: Owners,
}

impl HostRoot {
    /// The host's real root.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new() -> io::Result<Self> {
        Self::at(Path::new("/"), Owners::default())
    }

    /// A tree that plays the host; what is made from it belongs to `owners`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn at(path: &Path, owners: Owners) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            fd: rustix::fs::open(&path, flags, Mode::empty())?,
            path,
            owners,
        })
    }

    /// Whom the files made from this host belong to.
    pub fn owners(&self) -> Owners {
        self.owners
    }

    /// The absolute path of the directory `usr`.
    pub fn usr(&self) -> PathBuf {
        self.path.join("usr")
    }

    /// What is at `path`, links not followed; `None` when nothing is.
    ///
    /// # Errors
    /// When Linux refuses for another reason than that nothing is there.
    pub fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match self.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => Ok(Some(rustix::fs::fstat(fd)?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// As [`HostRoot::stat`] for a path with no link above its last name, at a third of the cost.
    ///
    /// # Errors
    /// When Linux refuses for another reason than that nothing is there.
    pub(super) fn state(&self, path: &Path) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Where a link points to, as it is written.
    ///
    /// # Errors
    /// When there is no link.
    pub fn link(&self, path: &Path) -> io::Result<PathBuf> {
        let fd = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(fd, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// The content of a regular file, links followed; `None` when it is longer than `limit` bytes.
    ///
    /// # Errors
    /// When there is no regular file.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut content = Vec::new();
        File::from(fd).take(limit + 1).read_to_end(&mut content)?;
        Ok((content.len() as u64 <= limit).then_some(content))
    }

    /// The names in a directory, in order; none when it is missing.
    ///
    /// # Errors
    /// When it is no directory, cannot be read or has too many entries.
    pub fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let fd = match self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut names = Vec::new();
        for entry in Dir::new(fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsStr::from_bytes(name).to_owned());
            }
            if names.len() > MAX_ENTRIES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where `path` leads when all links are followed, relative to this root.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let fd = self.open(path, OFlags::PATH)?;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        match real.strip_prefix(&self.path) {
            Ok(inside) => Ok(inside.to_owned()),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether every user of the host may read the file at `path`, directories above it included.
    ///
    /// # Errors
    /// When something on the way cannot be examined.
    pub fn readable_by_all(&self, path: &Path) -> io::Result<bool> {
        let real = self.real(path)?;
        for above in real.ancestors().skip(1) {
            let mode = self.stat(above)?.map_or(0, |stat| stat.st_mode);
            if mode & 0o001 == 0 {
                return Ok(false);
            }
        }
        Ok(self
            .stat(&real)?
            .is_some_and(|stat| stat.st_mode & 0o004 != 0))
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        rustix::fs::openat2(
            self.fd.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }
}
