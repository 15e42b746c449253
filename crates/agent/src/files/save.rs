//! Writing a file that arrives in pieces.

use crate::account::Account;
use crate::filesystem::errno;
use crate::limits;
use crate::reply::Failure;
use hyper::StatusCode;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A file that is being written. Its first pieces are held back, so that a small file is written
/// at once: who watches it then sees one change.
pub(crate) struct Saving {
    file: OwnedFd,
    path: String,
    held: Vec<u8>,
    written: u64,
}

impl Saving {
    /// Makes or empties the file at `path`, with the directories on the way; all that is new
    /// belongs to `account`.
    pub(crate) fn begin(path: &Path, account: &Account) -> Result<Self, Failure> {
        if path.is_dir() {
            let message = format!("path is a directory: {}", path.display());
            return Err(Failure::bad_request(message));
        }
        if let Some(parent) = path.parent() {
            make_directories(parent, account).map_err(|(made, errno)| {
                failure("make directory", &made.to_string_lossy(), errno)
            })?;
        }
        let name = path.display().to_string();
        // Non-blocking: opening a named pipe that nobody reads must not wait.
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK
            | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))
            .map_err(|errno| failure("open", &name, errno))?;
        give(&file, account).map_err(|errno| failure("change the owner of", &name, errno))?;
        Ok(Self {
            file,
            path: name,
            held: Vec::new(),
            written: 0,
        })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.held.len() + piece.len() <= limits::FILE_CHUNK {
            self.held.extend_from_slice(piece);
            return Ok(());
        }
        self.flush()?;
        if piece.len() >= limits::FILE_CHUNK {
            return self.put(piece);
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    /// Marks it as a program.
    pub(crate) fn mark_executable(&self) -> Result<(), Failure> {
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::fchmod(&self.file, mode)
            .map_err(|errno| failure("change the mode of", &self.path, errno))
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let held = std::mem::take(&mut self.held);
        let result = self.put(&held);
        self.held = held;
        self.held.clear();
        result
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.file, bytes) {
                Ok(written) => {
                    self.written += written as u64;
                    bytes = bytes.get(written..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failure("write", &self.path, errno)),
            }
        }
        Ok(())
    }
}

/// Makes `directory` and what is missing above it (mode 0755), owned by `account`. An error comes
/// with the directory that it is about.
pub(crate) fn make_directories(
    directory: &Path,
    account: &Account,
) -> Result<(), (PathBuf, Errno)> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    for path in missing.into_iter().rev() {
        let failed = |errno| (path.to_owned(), errno);
        match DirBuilder::new().mode(0o755).create(path) {
            Ok(()) => {}
            // Somebody else has just made it, and it is theirs.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => continue,
            Err(error) => return Err(failed(errno(&error))),
        }
        rustix::fs::chown(path, Some(account.uid), Some(account.gid))
            .or_else(tolerate_without_root)
            .map_err(failed)?;
    }
    Ok(())
}

/// Makes `account` the owner of a file.
pub(crate) fn give(file: &OwnedFd, account: &Account) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(account.uid), Some(account.gid)).or_else(tolerate_without_root)
}

/// An agent without root's rights (outside a sandbox) cannot give files away, and need not.
fn tolerate_without_root(errno: Errno) -> rustix::io::Result<()> {
    if errno == Errno::PERM && !rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(errno)
    }
}

/// What a failed step of writing means to the client.
pub(crate) fn failure(step: &str, path: &str, errno: Errno) -> Failure {
    let status = match errno {
        Errno::NOSPC | Errno::DQUOT => StatusCode::INSUFFICIENT_STORAGE,
        Errno::ISDIR | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::NXIO => {
            StatusCode::BAD_REQUEST
        }
        Errno::NOENT => StatusCode::NOT_FOUND,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INSUFFICIENT_STORAGE {
        return Failure::new(
            status,
            format!("not enough disk space available to {step} '{path}'"),
        );
    }
    Failure::new(status, format!("cannot {step} '{path}': {errno}"))
}
