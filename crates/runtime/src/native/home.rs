//! The spawner's own small mount namespace.
//!
//! Every sandbox begins with a copy of its creator's mount table, so the spawner keeps only what
//! it needs: the trees that sandboxes are built from, `/proc`, and a kit of ready-made parts.
//! Host paths keep their names in it.

use super::cgroup::View;
use super::step::{Step, StepError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};
use soulbox_syscall::namespace;
use soulbox_wire::spawner::STORAGE;
use std::path::Path;

/// Where the trees of the sandbox that is being made are attached for a moment.
pub(super) const LOWER: &str = "/scratch/lower";
/// Where its writable layer is attached for a moment.
pub(super) const UPPER: &str = "/scratch/upper";
/// Where a sandbox's root is put together, in its own copy of this namespace.
pub(super) const ROOT: &str = "/scratch/root";
/// Where a sandbox makes `/proc`, `/dev` and `/sys` while its trees are not there yet.
pub(super) const PARTS: &str = "/scratch/parts";
/// The `/dev` of all sandboxes.
pub(super) const KIT_DEV: &str = "/kit/dev";
/// The `/sys` of all sandboxes.
pub(super) const KIT_SYS: &str = "/kit/sys";
/// An empty read-only directory, for what is hidden.
pub(super) const KIT_EMPTY: &str = "/kit/empty";

/// Moves the calling process into a mount namespace of its own that holds only `/proc`, the
/// trees below `roots`, the groups of `views`, `storage`, and the kit. `scratch` is a directory to
/// mount over in it. A user's spawner, which is not `is_root`, has to take along what is mounted
/// below each: Linux lets it show nothing that a mount of the host hides.
///
/// # Errors
/// The step that Linux refused.
pub(super) fn settle(
    roots: &[String],
    views: &[View],
    scratch: &str,
    (storage, is_root): (Option<OwnedFd>, bool),
) -> Result<(), StepError> {
    namespace::new_mount_namespace().step(|| "make a mount namespace".to_owned())?;
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", propagation).step(|| "make all mounts private".to_owned())?;
    let same = roots.iter().map(|root| (root.as_str(), root.as_str()));
    let groups = views
        .iter()
        .map(|view| (view.parent.as_str(), view.home.as_str()));
    let trees = std::iter::once(("/proc", "/proc"))
        .chain(same)
        .chain(groups)
        .map(|(host, home)| {
            let tree = match is_root {
                true => open_tree_copy(host)?,
                false => open_whole_tree_copy(host)?,
            };
            Ok((home, tree))
        })
        .collect::<Result<Vec<_>, StepError>>()?;
    let home = tmpfs("mode=0755", MountAttrFlags::empty())?;
    attach(&home, scratch)?;
    rustix::process::chdir(scratch).step(|| format!("enter {scratch}"))?;
    for (path, tree) in trees {
        let here = path.trim_start_matches('/');
        make_directories(here)?;
        attach(&tree, here)?;
    }
    if let Some(storage) = storage {
        let here = STORAGE.trim_start_matches('/');
        make_directories(here)?;
        // A copy, because a spawner that takes this one's place needs a mount too that is
        // attached nowhere. An older Linux copies none that is: there, only the first has it.
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let copy = open_tree(&storage, "", flags);
        attach(copy.as_ref().unwrap_or(&storage), here)?;
    }
    for path in [LOWER, UPPER, ROOT, PARTS, KIT_DEV, KIT_SYS, KIT_EMPTY] {
        make_directories(path.trim_start_matches('/'))?;
    }
    for part in ["proc", "dev", "sys"] {
        make_directories(&format!("{}/{part}", PARTS.trim_start_matches('/')))?;
    }
    super::kit::fill(views, is_root)?;
    rustix::process::pivot_root(".", ".").step(|| "change the root".to_owned())?;
    unmount(".", UnmountFlags::DETACH).step(|| "let go of the host's mounts".to_owned())?;
    rustix::process::chdir("/").step(|| "enter the new root".to_owned())
}

/// A detached copy of the mount that `path` is on, from `path` on.
pub(super) fn open_tree_copy(path: &str) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).step(|| format!("copy the mount of {path}"))
}

/// The same with everything that is mounted below it.
pub(super) fn open_whole_tree_copy(path: &str) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).step(|| format!("copy the mounts of {path}"))
}

/// A detached tmpfs; `options` as in tmpfs(5), separated by commas.
pub(super) fn tmpfs(options: &str, attributes: MountAttrFlags) -> Result<OwnedFd, StepError> {
    filesystem("tmpfs", options, attributes)
}

/// A detached, new instance of a file system without a device.
pub(super) fn filesystem(
    kind: &str,
    options: &str,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, StepError> {
    let make = || -> Result<OwnedFd, Errno> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((key, value)) => fsconfig_set_string(context.as_fd(), key, value)?,
                None => rustix::mount::fsconfig_set_flag(context.as_fd(), option)?,
            }
        }
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().step(|| format!("make a {kind} with the options {options:?}"))
}

/// Attaches a detached mount at `path`.
pub(super) fn attach(mount: impl AsFd, path: &str) -> Result<(), StepError> {
    move_mount(
        mount,
        "",
        CWD,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .step(|| format!("mount on {path}"))
}

/// Moves what is mounted at `from`, with what is mounted below it, to `to`.
pub(super) fn move_to(from: &str, to: &str) -> Result<(), StepError> {
    move_mount(CWD, from, CWD, to, MoveMountFlags::empty())
        .step(|| format!("move the mount of {from} to {to}"))
}

/// Detaches what is mounted at `path`.
pub(super) fn detach(path: &str) -> Result<(), StepError> {
    unmount(path, UnmountFlags::DETACH).step(|| format!("unmount {path}"))
}

/// Makes a relative path's directories.
pub(super) fn make_directories(path: &str) -> Result<(), StepError> {
    let mut made = std::path::PathBuf::new();
    for part in Path::new(path).components() {
        made.push(part);
        match rustix::fs::mkdir(&made, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).step(|| format!("make the directory {made:?}")),
        }
    }
    Ok(())
}

/// Opens a directory for use as a base of relative paths.
pub(super) fn open_directory(path: &str) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).step(|| format!("open the directory {path}"))
}
