//! Removing a tree that somebody hostile may have made.
//!
//! What such a tree can hold against a plain recursive removal, and the answer to it:
//!
//! | The tree has | so this removal |
//! |---|---|
//! | links to anywhere | opens directories with `openat2` and `RESOLVE_NO_SYMLINKS`, and never by a path |
//! | a mount in it | stops with [`RemoveError::Mount`] and leaves what is mounted there alone |
//! | 100,000 levels | keeps at most [`MAX_LEVELS`] directories open and moves deeper ones up to the root |
//! | millions of entries in one directory | streams the listing and holds none of it |
//! | directories nobody may enter | opens them up when the caller owns them |
//! | immutable and append-only files | clears these marks where the file system refuses |

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many directories are open at once; what lies deeper is moved up to the root of the tree
/// first. Ordinary trees are less deep, and the usual limit of open files is 1024.
pub const MAX_LEVELS: usize = 48;

/// How often a directory that fills again while it is emptied is tried again before it is an error.
const MAX_PASSES: u32 = 16;

/// Why a tree was not removed, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Something is mounted in the tree. What lies beside it may be gone already.
    #[error("something is mounted on {0}: unmount it, then remove the tree again")]
    Mount(PathBuf),
    /// A directory fills again while it is emptied.
    #[error("directory {0} fills again while it is emptied: end what writes to it")]
    Busy(PathBuf),
    /// The path has no last component that could be removed.
    #[error("{0} cannot be removed: it names no entry of a directory")]
    Name(PathBuf),
    /// Linux refused a step.
    #[error("cannot remove {path}")]
    Refused {
        /// The entry, relative to what was to be removed.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub files: u64,
}

/// Removes what `path` names, whatever it is. The directories above it are trusted, it is not.
/// Something that is not there is no error.
///
/// # Errors
/// [`RemoveError`] tells what stands in the way; the rest of the tree may be gone then.
pub fn remove_tree(path: &Path) -> Result<Removed, RemoveError> {
    let refused = |errno: Errno| refused(path.to_owned(), errno);
    let name = path
        .file_name()
        .ok_or_else(|| RemoveError::Name(path.to_owned()))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), name),
        Err(Errno::NOENT) => Ok(Removed::default()),
        Err(errno) => Err(refused(errno)),
    }
}

/// Removes the entry `name` of an open directory, whatever it is.
///
/// # Errors
/// As [`remove_tree`].
pub fn remove_at(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Removed, RemoveError> {
    let bad_name = || RemoveError::Name(PathBuf::from(name));
    if name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/') {
        return Err(bad_name());
    }
    let name = CString::new(name.as_bytes()).map_err(|_| bad_name())?;
    let mut removal = Removal {
        levels: Vec::new(),
        moved: 0,
        removed: Removed::default(),
    };
    match unlink(parent, &name) {
        Ok(()) => removal.removed.files = 1,
        Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => removal.tree(parent, &name)?,
        Err(Errno::BUSY) => return Err(RemoveError::Mount(path_of(&name))),
        Err(errno) => return Err(refused(path_of(&name), errno)),
    }
    Ok(removal.removed)
}

/// A directory that is being emptied.
struct Level {
    /// Its entries.
    dir: Dir,
    /// Its name in the level above.
    name: CString,
    /// How often it was read from its start.
    passes: u32,
    /// Whether directories were moved into it since it was read from its start.
    grew: bool,
}

/// The state of a removal: the directories from the root of the tree to the one being emptied.
struct Removal {
    levels: Vec<Level>,
    moved: u64,
    removed: Removed,
}

impl Removal {
    /// Removes the directory `name` of `parent`.
    fn tree(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), RemoveError> {
        let opened = open_directory(parent, name);
        self.enter(opened, name)?;
        while let Some(level) = self.levels.last_mut() {
            match level.dir.read() {
                Some(Ok(entry)) if !matches!(entry.file_name().to_bytes(), b"." | b"..") => {
                    self.entry(entry.file_name(), entry.file_type())?;
                }
                Some(Ok(_)) => {}
                Some(Err(errno)) => return Err(self.refused(c"", errno)),
                None => self.leave(parent)?,
            }
        }
        Ok(())
    }

    /// Removes one entry of the deepest level, or makes it the next level.
    fn entry(&mut self, name: &CStr, kind: FileType) -> Result<(), RemoveError> {
        if kind != FileType::Directory {
            match self.with_deepest(|at| unlink(at, name)) {
                Ok(()) => {
                    self.removed.files += 1;
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                // The listing may be older than the entry, or may not tell kinds at all.
                Err(Errno::ISDIR) => {}
                Err(Errno::BUSY) => return Err(RemoveError::Mount(self.path(name))),
                Err(errno) => return Err(self.refused(name, errno)),
            }
        }
        if self.levels.len() < MAX_LEVELS {
            let opened = self.with_deepest(|at| open_directory(at, name));
            return self.enter(opened, name);
        }
        self.lift(name)
    }

    /// Makes an opened directory the next level.
    fn enter(&mut self, opened: Result<OwnedFd, Errno>, name: &CStr) -> Result<(), RemoveError> {
        match opened.and_then(Dir::new) {
            Ok(dir) => self.levels.push(Level {
                dir,
                name: name.to_owned(),
                passes: 0,
                grew: false,
            }),
            Err(Errno::NOENT) => {}
            Err(Errno::XDEV) => return Err(RemoveError::Mount(self.path(name))),
            Err(errno) => return Err(self.refused(name, errno)),
        }
        Ok(())
    }

    /// Moves a directory that lies too deep into the root of the tree, which is read again later.
    fn lift(&mut self, name: &CStr) -> Result<(), RemoveError> {
        let mut opened_up = false;
        loop {
            let lifted = format!(".lifted-{}", self.moved);
            self.moved += 1;
            let root = self.levels.first().ok_or(Errno::BADF);
            let moved = root.and_then(|root| root.dir.fd()).and_then(|root| {
                self.with_deepest(|at| {
                    forced(at, name, || {
                        rustix::fs::renameat(at, name, root, lifted.as_str())
                    })
                })
            });
            match moved {
                Ok(()) | Err(Errno::NOENT) => break,
                // To move a directory, one must be able to write to it: opening it sees to that.
                Err(Errno::ACCESS) if !opened_up => {
                    opened_up = true;
                    let opened = self.with_deepest(|at| open_directory(at, name));
                    opened.map_err(|errno| self.refused(name, errno))?;
                }
                // The tree has an entry of that name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                Err(Errno::XDEV | Errno::BUSY) => return Err(RemoveError::Mount(self.path(name))),
                Err(errno) => return Err(self.refused(name, errno)),
            }
        }
        if let Some(root) = self.levels.first_mut() {
            root.grew = true;
        }
        Ok(())
    }

    /// The deepest level was read to its end: removes its directory, or reads it again.
    fn leave(&mut self, parent: BorrowedFd<'_>) -> Result<(), RemoveError> {
        let Some(mut level) = self.levels.pop() else {
            return Ok(());
        };
        if level.grew {
            level.grew = false;
            return self.again(level);
        }
        let gone = if self.levels.is_empty() {
            remove_directory(parent, &level.name)
        } else {
            self.with_deepest(|at| remove_directory(at, &level.name))
        };
        match gone {
            Ok(()) => self.removed.directories += 1,
            Err(Errno::NOENT) => {}
            Err(Errno::BUSY) => return Err(RemoveError::Mount(self.path(&level.name))),
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.passes < MAX_PASSES => {
                level.passes += 1;
                return self.again(level);
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Err(RemoveError::Busy(self.path(&level.name)));
            }
            Err(errno) => return Err(self.refused(&level.name, errno)),
        }
        Ok(())
    }

    /// Reads a level from its start again.
    fn again(&mut self, mut level: Level) -> Result<(), RemoveError> {
        level.dir.rewind();
        self.levels.push(level);
        Ok(())
    }

    fn with_deepest<T>(
        &self,
        act: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.levels
            .last()
            .ok_or(Errno::BADF)
            .and_then(|level| act(level.dir.fd()?))
    }

    /// Where the removal stands, for messages.
    fn path(&self, name: &CStr) -> PathBuf {
        let above = self.levels.iter().map(|level| path_of(&level.name));
        above.chain([path_of(name)]).collect()
    }

    fn refused(&self, name: &CStr, errno: Errno) -> RemoveError {
        refused(self.path(name), errno)
    }
}

fn path_of(name: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

fn refused(path: PathBuf, errno: Errno) -> RemoveError {
    RemoveError::Refused {
        path,
        source: errno.into(),
    }
}

/// Opens a directory without following a link and without crossing into a mount (`EXDEV`).
fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let open = || {
        rustix::fs::openat2(
            at,
            name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        )
    };
    let opened = match open() {
        Err(Errno::ACCESS) => {
            let directory = open_path(at, name, OFlags::DIRECTORY)?;
            open_up(directory.as_fd())?;
            open()
        }
        opened => opened,
    }?;
    // Root may change any directory. Others need the write bit, which the tree may lack.
    if !rustix::process::geteuid().is_root() {
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
        if !mode.contains(Mode::RWXU) {
            rustix::fs::fchmod(&opened, Mode::RWXU)?;
        }
    }
    Ok(opened)
}

/// Gives the owner of a directory all rights to it.
fn open_up(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    // The descriptor is only a path (`O_PATH`), so the change goes through its link in /proc.
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    rustix::fs::chmod(link.as_str(), Mode::RWXU)
}

fn open_path(at: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Removes an entry that is no directory; `EISDIR` when it is one.
fn unlink(at: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    forced(at, name, || {
        rustix::fs::unlinkat(at, name, AtFlags::empty())
    })
}

fn remove_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    forced(at, name, || {
        rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)
    })
}

/// Does `act` on an entry, and once more without the marks `immutable` and `append only` on the
/// entry and its directory if Linux does not permit it.
fn forced(
    at: BorrowedFd<'_>,
    name: &CStr,
    act: impl Fn() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match act() {
        Err(Errno::PERM) => {
            // Where this fails as well, what counts is that the act is not permitted.
            clear_marks(at, name).ok();
            act()
        }
        done => done,
    }
}

/// Clears the marks of a directory and one of its entries, so far as they have any.
fn clear_marks(at: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let marks = IFlags::IMMUTABLE | IFlags::APPEND;
    let clear = |fd: BorrowedFd<'_>| {
        let flags = rustix::fs::ioctl_getflags(fd)?;
        if flags.intersects(marks) {
            rustix::fs::ioctl_setflags(fd, flags - marks)?;
        }
        Ok::<(), Errno>(())
    };
    clear(at)?;
    let kind =
        FileType::from_raw_mode(rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    // Only these can have marks, and opening others can have effects.
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        clear(rustix::fs::openat(at, name, flags, Mode::empty())?.as_fd())?;
    }
    Ok(())
}
