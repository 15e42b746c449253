//! The trees of one sandbox: read-only layers with ids shifted, a writable layer on each.
//!
//! The spawner mounts them with its own rights, from outside: nothing in the sandbox can mount,
//! and the overlay's own records are `trusted.*` attributes that nobody inside can forge.

use super::home::{self, LOWER, UPPER};
use super::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use soulbox_syscall::mount::{Attributes, set_attributes};
use soulbox_wire::spawner::{Layer, Storage};

/// Makes one overlay per layer over the same storage. `root_id` is the host id of the sandbox's
/// root, `user_namespace` has the sandbox's id map.
///
/// # Errors
/// The step that Linux refused. Nothing stays attached.
pub(super) fn make(
    layers: &[Layer],
    storage: &Storage,
    root_id: u32,
    user_namespace: BorrowedFd<'_>,
) -> Result<Trees, StepError> {
    let upper = match storage {
        Storage::Memory { size, inodes } => {
            let options = format!("size={size},nr_inodes={inodes},mode=0700");
            home::tmpfs(&options, MountAttrFlags::empty())?
        }
        Storage::Directory { path } => home::open_tree_copy(path)?,
    };
    home::attach(&upper, UPPER)?;
    let overlays = (0..).zip(layers).map(|(number, layer)| {
        let parts = prepare_upper(&upper, number, root_id)?;
        overlay(layer, &parts, user_namespace)
    });
    let trees = overlays
        .collect::<Result<Vec<_>, _>>()
        .and_then(|overlays| {
            let shm = match storage {
                Storage::Memory { .. } => Some(shared_memory(&upper, root_id)?),
                Storage::Directory { .. } => None,
            };
            Ok(Trees { overlays, shm })
        });
    home::detach(UPPER)?;
    trees
}

/// The trees of one sandbox.
pub(super) struct Trees {
    /// One overlay per layer.
    pub(super) overlays: Vec<OwnedFd>,
    /// What becomes `/dev/shm`, when it is a part of the writable layer.
    pub(super) shm: Option<OwnedFd>,
}

/// A directory of an in-memory layer for `/dev/shm`: a file system of its own would take another
/// 20 KB of Linux's memory in every sandbox.
fn shared_memory(storage: &OwnedFd, root_id: u32) -> Result<OwnedFd, StepError> {
    let make = || -> Result<(), Errno> {
        rustix::fs::mkdirat(storage, "shm", Mode::from(0o700))?;
        give(storage, "shm", root_id)?;
        // Not with mkdirat, from whose mode the umask is taken.
        rustix::fs::chmodat(storage, "shm", Mode::from(0o1777), AtFlags::empty())
    };
    make().step(|| "make the directory for /dev/shm".to_owned())?;
    let shm = home::open_tree_copy(&format!("{UPPER}/shm"))?;
    set_attributes(
        shm.as_fd(),
        Attributes::NO_SUID | Attributes::NO_DEVICES,
        None,
        false,
    )
    .step(|| "protect /dev/shm".to_owned())?;
    Ok(shm)
}

/// Gives a directory of the storage to the sandbox's root.
fn give(storage: &OwnedFd, name: &str, root_id: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(root_id), Gid::from_raw(root_id));
    rustix::fs::chownat(storage, name, Some(uid), Some(gid), AtFlags::empty())
}

/// The paths of one overlay's writable and work directory.
struct UpperParts {
    upper: String,
    work: String,
}

fn prepare_upper(storage: &OwnedFd, number: usize, root_id: u32) -> Result<UpperParts, StepError> {
    let (upper, work) = (format!("upper{number}"), format!("work{number}"));
    let make = |name: &str| match rustix::fs::mkdirat(storage, name, Mode::from(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    };
    make(&upper)
        .and_then(|()| make(&work))
        .and_then(|()| give(storage, &upper, root_id))
        .step(|| "make the writable layer's directories".to_owned())?;
    Ok(UpperParts {
        upper: format!("{UPPER}/{upper}"),
        work: format!("{UPPER}/{work}"),
    })
}

fn overlay(
    layer: &Layer,
    parts: &UpperParts,
    user_namespace: BorrowedFd<'_>,
) -> Result<OwnedFd, StepError> {
    let lower = home::open_tree_copy(&layer.tree)?;
    set_attributes(
        lower.as_fd(),
        Attributes::READ_ONLY,
        Some(user_namespace),
        false,
    )
    .step(|| format!("shift the owners of {}", layer.tree))?;
    home::attach(&lower, LOWER)?;
    let make = || -> Result<OwnedFd, Errno> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let options = [
            ("source", "soulbox"),
            ("lowerdir", LOWER),
            ("upperdir", parts.upper.as_str()),
            ("workdir", parts.work.as_str()),
            // Layers that are thrown away with the sandbox need no hard-link index, and copies of
            // only a file's attributes would tie the writable layer to this exact tree.
            ("index", "off"),
            ("metacopy", "off"),
            ("xino", "off"),
        ];
        for (key, value) in options {
            fsconfig_set_string(context.as_fd(), key, value)?;
        }
        fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RELATIME;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    let made = make().step(|| format!("make the overlay of {}", layer.tree));
    home::detach(LOWER)?;
    made
}

/// Opens the user namespace of process `pid`.
///
/// # Errors
/// The step that Linux refused.
pub(super) fn user_namespace(pid: rustix::process::Pid) -> Result<OwnedFd, StepError> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| format!("open {path}"))
}
