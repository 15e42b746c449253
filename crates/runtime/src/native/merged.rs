//! Layers as one tree, to be read on the host: an overlay that is attached nowhere and that nobody
//! can write to. It is gone with its descriptor.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_path,
    fsconfig_set_string, fsmount, fsopen,
};
use std::io;
use std::path::{Path, PathBuf};

/// Opens `trees`, the uppermost first, as one. Nothing in it can be executed or is a device.
///
/// # Errors
/// Linux's own; [`io::ErrorKind::NotFound`] when there are no trees. More than one takes the rights
/// of the host's root.
pub fn open(trees: &[PathBuf]) -> io::Result<OwnedFd> {
    match trees {
        [] => Err(io::ErrorKind::NotFound.into()),
        [one] => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::open(one, flags, Mode::empty())?)
        }
        trees => overlay(trees),
    }
}

fn overlay(trees: &[PathBuf]) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "soulbox")?;
    for tree in trees {
        add(&context, tree)?;
    }
    for (key, value) in [("index", "off"), ("metacopy", "off"), ("xino", "off")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // What `fsmount` gives names a place; this one can be read from.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(&mount, ".", flags, Mode::empty())?)
}

/// Adds a tree; Linux takes them one by one since 6.5.
fn add(context: &OwnedFd, tree: &Path) -> io::Result<()> {
    let text = tree.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    match fsconfig_set_string(context.as_fd(), "lowerdir+", text) {
        Ok(()) => Ok(()),
        // Longer than a text of `fsconfig` may be.
        Err(rustix::io::Errno::INVAL) => {
            Ok(fsconfig_set_path(context.as_fd(), "lowerdir+", tree, CWD)?)
        }
        Err(errno) => Err(errno.into()),
    }
}
