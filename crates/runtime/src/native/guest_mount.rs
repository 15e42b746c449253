//! Directories and files of the host inside a sandbox.
//!
//! The places are looked up in the sandbox's own root without following any link, for a
//! template's links are not to be trusted: one that points elsewhere would move the mount there.

use super::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use soulbox_wire::spawner::GuestMount;
use std::path::Path;

/// Attaches each mount below `root`, outer ones before those inside them.
///
/// # Errors
/// The step that Linux refused; a link on the way is `LOOP`.
pub(super) fn attach_all(
    root: &str,
    mounts: &[GuestMount],
    trees: &[OwnedFd],
) -> Result<(), StepError> {
    let root = super::home::open_directory(root)?;
    let mut ordered: Vec<_> = mounts.iter().zip(trees).collect();
    ordered.sort_by_key(|(mount, _)| Path::new(&mount.at).components().count());
    for (mount, tree) in ordered {
        let place = make_place(root.as_fd(), mount)
            .step(|| format!("make the place {} for a mount", mount.at))?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree, "", &place, "", flags).step(|| format!("mount on {}", mount.at))?;
    }
    Ok(())
}

/// Opens the place of `mount`, making what is missing of it.
fn make_place(root: BorrowedFd<'_>, mount: &GuestMount) -> Result<OwnedFd, Errno> {
    let parts: Vec<_> = mount
        .at
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let (last, parents) = parts.split_last().ok_or(Errno::INVAL)?;
    let mut here = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    for parent in parents {
        here = enter(here.as_fd(), parent)?;
    }
    if mount.directory {
        return enter(here.as_fd(), last);
    }
    match mknodat(&here, *last, FileType::RegularFile, Mode::from(0o644), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    open_plain(here.as_fd(), last, OFlags::empty())
}

/// Opens the directory `name`, making it when it is missing.
fn enter(here: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    match open_plain(here, name, OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {
            mkdirat(here, name, Mode::from(0o755))?;
            open_plain(here, name, OFlags::DIRECTORY)
        }
        other => other,
    }
}

fn open_plain(here: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    openat2(
        here,
        name,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH,
    )
}
