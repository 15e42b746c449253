//! Directories and files of the host that go into a sandbox.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use soulbox_model::Mount;
use soulbox_wire::spawner::GuestMount;
use std::path::PathBuf;

/// A mount whose host side cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MountSourceError {
    /// It is not there, or may not be opened.
    #[error("cannot mount {path:?}")]
    Open {
        /// The host path.
        path: PathBuf,
        /// Linux's error.
        #[source]
        source: Errno,
    },
    /// It is neither a directory nor a regular file.
    #[error("cannot mount {0:?}: only directories and regular files can be mounted")]
    Kind(PathBuf),
    /// A path is not valid UTF-8.
    #[error("cannot mount {0:?}: the path is not valid UTF-8")]
    Text(PathBuf),
}

/// Opens the host side of a mount: a detached copy of the tree, with what is mounted below it.
///
/// # Errors
/// [`MountSourceError`].
pub fn open(mount: &Mount) -> Result<(GuestMount, OwnedFd), MountSourceError> {
    let failed = |source| MountSourceError::Open {
        path: mount.host.clone(),
        source,
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &mount.host, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    let directory = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => true,
        FileType::RegularFile => false,
        _ => return Err(MountSourceError::Kind(mount.host.clone())),
    };
    // By the descriptor, so that what was checked is what is mounted.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&file, "", flags).map_err(failed)?;
    let at = mount
        .guest
        .to_str()
        .ok_or_else(|| MountSourceError::Text(mount.guest.clone()))?;
    let guest = GuestMount {
        at: at.to_owned(),
        read_only: mount.read_only,
        directory,
        shift_ids: true,
    };
    Ok((guest, tree))
}
