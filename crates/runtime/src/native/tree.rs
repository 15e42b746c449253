//! The trees of one sandbox: read-only layers with ids shifted, a writable layer on each.
//!
//! The spawner mounts them with its own rights, from outside: nothing in the sandbox can mount,
//! and the overlay's own records are `trusted.*` attributes that nobody inside can forge. A user's
//! spawner keeps them in `user.*`, which the overlay hides and refuses to whoever is inside.

use super::closer::Closer;
use super::home::{self, LOWER, UPPER};
use super::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    move_mount, open_tree, unmount,
};
use soulbox_syscall::mount::{Attributes, set_attributes};
use soulbox_wire::spawner::{Layer, Storage};

/// How trees are made on this Linux.
pub(super) struct Maker {
    closer: Closer,
    /// Linux takes an overlay's layers as descriptors, so that they need not be attached for a
    /// moment. It does since 6.14 (`FSCONFIG_SET_FD` with layers that are attached nowhere).
    by_descriptor: bool,
}

impl Maker {
    /// Finds out what this Linux can do. `tree` is any tree that sandboxes are built from.
    ///
    /// # Errors
    /// The step that Linux refused.
    pub(super) fn new(tree: &str) -> Result<Self, StepError> {
        let probe = home::open_whole_tree_copy(tree)?;
        let context = open_overlay().step(|| "open the file system overlay".to_owned())?;
        Ok(Self {
            closer: Closer::start()?,
            by_descriptor: fsconfig_set_fd(context.as_fd(), "lowerdir+", &probe).is_ok(),
        })
    }

    /// Makes one overlay per layer over the same storage. `root_id` is the host id of the
    /// sandbox's root, `shift` has the sandbox's id map where the spawner may shift ids; where it
    /// may not, they are on disk as the sandbox has them.
    ///
    /// # Errors
    /// The step that Linux refused. Nothing stays attached.
    pub(super) fn make(
        &self,
        layers: &[Layer],
        storage: &Storage,
        root_id: u32,
        shift: Option<BorrowedFd<'_>>,
    ) -> Result<Trees, StepError> {
        let upper = match storage {
            Storage::Memory { size, inodes } => {
                let options = format!("size={size},nr_inodes={inodes},mode=0700");
                home::tmpfs(&options, MountAttrFlags::empty())?
            }
            Storage::Directory { path } => home::open_tree_copy(path)?,
        };
        if !self.by_descriptor {
            home::attach(&upper, UPPER)?;
        }
        let mut done = Vec::with_capacity(layers.len() + 1);
        let kind = Kind {
            trusted: shift.is_some(),
            on_disk: matches!(storage, Storage::Directory { .. }),
        };
        let overlays = (0..).zip(layers).map(|(number, layer)| {
            if layer.read_only {
                return read_only(layer, shift);
            }
            prepare_upper(&upper, number, root_id)?;
            let lowers = lowers(layer, Attributes::READ_ONLY, shift)?;
            let made = if self.by_descriptor {
                overlay_of_descriptors(&lowers, Some((&upper, number)), kind)
            } else {
                overlay_of_paths(&lowers, Some(number), kind)
            };
            done.extend(lowers);
            made.step(|| format!("make the overlay of {}", layer.tree))
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
        if self.by_descriptor {
            done.push(upper);
            self.closer.close(&done);
        } else {
            home::detach(UPPER)?;
        }
        trees
    }
}

impl Maker {
    /// A layer for a zygote: read-only, nothing in it takes another user's rights.
    ///
    /// # Errors
    /// The step that Linux refused.
    pub(super) fn for_zygote(&self, layer: &Layer) -> Result<OwnedFd, StepError> {
        let attributes = Attributes::READ_ONLY | Attributes::NO_DEVICES | Attributes::NO_SUID;
        let mut lowers = lowers(layer, attributes, None)?;
        if lowers.len() == 1
            && let Some(only) = lowers.pop()
        {
            return Ok(only);
        }
        let kind = Kind {
            trusted: true,
            on_disk: false,
        };
        let made = if self.by_descriptor {
            overlay_of_descriptors(&lowers, None, kind)
        } else {
            overlay_of_paths(&lowers, None, kind)
        };
        self.closer.close(&lowers);
        let overlay = made.step(|| format!("make the overlay of {}", layer.tree))?;
        set_attributes(overlay.as_fd(), attributes, None, false)
            .step(|| format!("make {} read-only", layer.tree))?;
        Ok(overlay)
    }
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
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let shm = open_tree(storage, "shm", flags).step(|| "copy the mount of /dev/shm".to_owned())?;
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

fn prepare_upper(storage: &OwnedFd, number: usize, root_id: u32) -> Result<(), StepError> {
    let (upper, work) = parts(number);
    let make = |name: &str| match rustix::fs::mkdirat(storage, name, Mode::from(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    };
    make(&upper)
        .and_then(|()| make(&work))
        .and_then(|()| give(storage, &upper, root_id))
        .step(|| "make the writable layer's directories".to_owned())
}

/// The names of an overlay's writable and work directory in the storage.
fn parts(number: usize) -> (String, String) {
    (format!("upper{number}"), format!("work{number}"))
}

/// A layer without a writable one, with what is mounted below it.
fn read_only(layer: &Layer, shift: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError> {
    let tree = home::open_whole_tree_copy(&layer.tree)?;
    let attributes = Attributes::READ_ONLY | Attributes::NO_DEVICES;
    set_attributes(tree.as_fd(), attributes, shift, true)
        .step(|| format!("make {} read-only", layer.tree))?;
    Ok(tree)
}

/// The trees of a layer, the uppermost first, as the sandbox's own user namespace sees their
/// owners.
fn lowers(
    layer: &Layer,
    attributes: Attributes,
    shift: Option<BorrowedFd<'_>>,
) -> Result<Vec<OwnedFd>, StepError> {
    let open = |path: &String| {
        let tree = home::open_tree_copy(path)?;
        set_attributes(tree.as_fd(), attributes, shift, false)
            .step(|| format!("shift the owners of {path}"))?;
        Ok(tree)
    };
    std::iter::once(&layer.tree)
        .chain(&layer.below)
        .map(open)
        .collect()
}

fn open_overlay() -> Result<OwnedFd, Errno> {
    fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
}

/// `upper`: the storage and the number of the layer in it; none: nothing can be written.
fn overlay_of_descriptors(
    lowers: &[OwnedFd],
    upper: Option<(&OwnedFd, usize)>,
    kind: Kind,
) -> Result<OwnedFd, Errno> {
    let context = open_overlay()?;
    for lower in lowers {
        fsconfig_set_fd(context.as_fd(), "lowerdir+", lower)?;
    }
    if let Some((storage, number)) = upper {
        let open = |name: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(storage, name, flags, Mode::empty())
        };
        let (upper, work) = parts(number);
        fsconfig_set_fd(context.as_fd(), "upperdir", open(&upper)?)?;
        fsconfig_set_fd(context.as_fd(), "workdir", open(&work)?)?;
    }
    mount_overlay(&context, kind)
}

/// The same on an older Linux, with the layers attached for a moment. The names of all lower trees
/// must fit into 255 bytes there, so they are short and seen from [`LOWER`].
fn overlay_of_paths(
    lowers: &[OwnedFd],
    upper: Option<usize>,
    kind: Kind,
) -> Result<OwnedFd, Errno> {
    rustix::process::chdir(LOWER)?;
    let names: Vec<_> = (0..lowers.len()).map(short_name).collect();
    let mut attached = 0;
    let made = names
        .iter()
        .zip(lowers)
        .try_for_each(|(name, lower)| {
            match rustix::fs::mkdir(name.as_str(), Mode::from(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(lower, "", CWD, name.as_str(), flags)?;
            attached += 1;
            Ok(())
        })
        .and_then(|()| {
            let context = open_overlay()?;
            fsconfig_set_string(context.as_fd(), "lowerdir", names.join(":"))?;
            if let Some(number) = upper {
                let (upper, work) = parts(number);
                let (upper, work) = (format!("{UPPER}/{upper}"), format!("{UPPER}/{work}"));
                fsconfig_set_string(context.as_fd(), "upperdir", upper)?;
                fsconfig_set_string(context.as_fd(), "workdir", work)?;
            }
            mount_overlay(&context, kind)
        });
    for name in names.iter().take(attached) {
        unmount(name.as_str(), UnmountFlags::DETACH)?;
    }
    rustix::process::chdir("/")?;
    made
}

/// A name for a number in as few letters as may be.
fn short_name(mut number: usize) -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut name = String::new();
    loop {
        name.push(char::from(LETTERS[number % LETTERS.len()]));
        number /= LETTERS.len();
        if number == 0 {
            return name;
        }
        number -= 1;
    }
}

/// What an overlay is over and who makes it.
#[derive(Clone, Copy)]
struct Kind {
    /// Its records may be such as only the host's root can write.
    trusted: bool,
    /// Its writable layer is on disk.
    on_disk: bool,
}

fn mount_overlay(context: &OwnedFd, kind: Kind) -> Result<OwnedFd, Errno> {
    let options = [
        ("source", "soulbox"),
        // Layers that are thrown away with the sandbox need no hard-link index, and copies of
        // only a file's attributes would tie the writable layer to this exact tree.
        ("index", "off"),
        ("metacopy", "off"),
        ("xino", "off"),
    ];
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    if !kind.trusted {
        fsconfig_set_flag(context.as_fd(), "userxattr")?;
    }
    if kind.on_disk {
        // What is thrown away with the sandbox need not survive the host: without this, each
        // copied file and each end of a sandbox waits for the disk, and fsync inside for all
        // neighbours' writes.
        fsconfig_set_flag(context.as_fd(), "volatile")?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RELATIME;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
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

#[cfg(test)]
mod tests {
    use super::short_name;
    use std::collections::HashSet;

    #[test]
    fn the_names_of_a_hundred_trees_fit_into_what_an_older_linux_takes() {
        let names: Vec<_> = (0..100).map(short_name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 100);
        assert!(names.join(":").len() < 256);
    }
}
