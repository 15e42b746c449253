//! Making a layer of what a sandbox wrote.
//!
//! The writable tree of a sandbox's overlay is already in the form of a layer, less four things:
//! its owners are the host ids that the sandbox had, overlayfs has notes of its own in it, file
//! capabilities are tied to the sandbox's user namespace, and sockets that nobody listens at.
//!
//! The sandbox has ended, so that nobody changes the tree meanwhile; what it left is hostile all
//! the same: nothing is followed, and depth and count are bounded.

use crate::layers::OPAQUE;
use crate::measure::{MAX_DEPTH, MAX_FILES};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chmodat, chownat, lgetxattr,
    llistxattr, lremovexattr, lsetxattr, statat, unlinkat,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How many ids a sandbox has.
const IDS: u32 = 65_536;
/// The bits of a mode that a change of owner clears.
const SET_ID: u32 = 0o6000;
const CAPABILITY: &str = "security.capability";
/// The prefixes of overlayfs's own attributes.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Why what a sandbox wrote is no layer.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It is deeper than [`MAX_DEPTH`].
    #[error("a directory lies deeper than {MAX_DEPTH} levels below {0}")]
    Depth(PathBuf),
    /// It has more than [`MAX_FILES`] entries.
    #[error("there are more than {MAX_FILES} files below {0}")]
    Files(PathBuf),
    /// A file belongs to somebody whom the sandbox cannot have had.
    #[error("{path} belongs to {owner}, who is nobody of the sandbox")]
    Foreign {
        /// The file, by its name.
        path: PathBuf,
        /// Whose it is on the host.
        owner: u32,
    },
    /// A directory was moved in a way that only this machine's mount of it understands.
    #[error("directory {0:?} is only a reference to another one")]
    Redirect(PathBuf),
    /// Linux refused a step.
    #[error("cannot {what} {path}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// To what, by its name.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
}

fn refused(what: &'static str, name: &CStr) -> impl FnOnce(Errno) -> SettleError {
    move |errno| SettleError::Refused {
        what,
        path: path_of(name),
        source: errno.into(),
    }
}

fn path_of(name: &CStr) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(name.to_bytes()).into_owned())
}

/// Makes `tree` a layer's. `root`: the host id of the sandbox's root, whose ids follow on it; none
/// where ids on disk are those that sandboxes have.
///
/// # Errors
/// [`SettleError`]; the tree is between both then and of no use.
pub fn settle(tree: &Path, root: Option<u32>) -> Result<(), SettleError> {
    let here = CString::new(".").unwrap_or_default();
    let open = |errno| refused("open", &here)(errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(tree, flags, Mode::empty()).map_err(open)?;
    let mut settler = Settler {
        root,
        tree,
        several: HashSet::new(),
        files: 0,
    };
    settler.entry(top.as_fd(), &here)?;
    let mut levels = vec![Dir::new(top).map_err(open)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.read() else {
            levels.pop();
            continue;
        };
        let entry = entry.map_err(open)?;
        let name = entry.file_name().to_owned();
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let directory = level.fd().map_err(open)?;
        if settler.entry(directory, &name)? {
            if levels.len() >= MAX_DEPTH {
                return Err(SettleError::Depth(tree.to_owned()));
            }
            let below = open_directory(levels.last(), &name)?;
            levels.push(Dir::new(below).map_err(refused("open", &name))?);
        }
    }
    Ok(())
}

fn open_directory(level: Option<&Dir>, name: &CStr) -> Result<OwnedFd, SettleError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = level.ok_or(Errno::BADF).and_then(Dir::fd);
    directory
        .and_then(|directory| rustix::fs::openat(directory, name, flags, Mode::empty()))
        .map_err(refused("open", name))
}

struct Settler<'a> {
    root: Option<u32>,
    tree: &'a Path,
    /// Files with several names that were met already.
    several: HashSet<u64>,
    files: u64,
}

impl Settler<'_> {
    /// Settles one entry. True when it is a directory.
    fn entry(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> Result<bool, SettleError> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(SettleError::Files(self.tree.to_owned()));
        }
        let stat =
            statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused("look at", name))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let gone = match kind {
            FileType::Socket | FileType::BlockDevice => true,
            FileType::CharacterDevice => stat.st_rdev != 0,
            _ => false,
        };
        if gone {
            unlinkat(directory, name, AtFlags::empty()).map_err(refused("remove", name))?;
            return Ok(false);
        }
        let whiteout = kind.is_char_device();
        let met = stat.st_nlink > 1 && !kind.is_dir() && !self.several.insert(stat.st_ino);
        if whiteout || met {
            return Ok(false);
        }
        // By a path that ends in the entry itself, for calls that take no descriptor.
        let place = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let place = place.join(path_of_bytes(name));
        let capability = match kind {
            FileType::RegularFile | FileType::Directory => attributes(&place, name, kind)?,
            _ => None,
        };
        if let Some(root) = self.root {
            own(directory, name, &stat, root)?;
            if kind.is_file() && stat.st_mode & SET_ID != 0 {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                chmodat(directory, name, mode, AtFlags::empty())
                    .map_err(refused("set the mode of", name))?;
            }
            if let Some(capability) = capability {
                lsetxattr(&place, CAPABILITY, &capability, XattrFlags::empty())
                    .map_err(refused("set the capabilities of", name))?;
            }
        }
        Ok(kind.is_dir())
    }
}

/// Gives an entry to whom it belongs in the sandbox.
fn own(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat, root: u32) -> Result<(), SettleError> {
    let inside = |id: u32| {
        let id = id.checked_sub(root).filter(|id| *id < IDS);
        id.ok_or_else(|| SettleError::Foreign {
            path: path_of(name),
            owner: stat.st_uid,
        })
    };
    let (uid, gid) = (inside(stat.st_uid)?, inside(stat.st_gid)?);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    chownat(directory, name, Some(uid), Some(gid), flags).map_err(refused("give away", name))
}

/// Removes overlayfs's notes but the one that belongs to a layer, and gives the file's capabilities
/// as one that is tied to no user namespace.
fn attributes(place: &Path, name: &CStr, kind: FileType) -> Result<Option<Vec<u8>>, SettleError> {
    let mut list = vec![0; 65_536];
    let length = match llistxattr(place, &mut list) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(None),
        Err(errno) => return Err(refused("read the attributes of", name)(errno)),
    };
    let mut capability = None;
    for attribute in list[..length].split(|byte| *byte == 0) {
        let Ok(text) = std::str::from_utf8(attribute) else {
            continue;
        };
        let of_overlay = OVERLAY.iter().any(|prefix| attribute.starts_with(prefix));
        if text == CAPABILITY {
            let mut value = [0; 64];
            let length = lgetxattr(place, CAPABILITY, &mut value)
                .map_err(refused("read the capabilities of", name))?;
            capability = untied(&value[..length]);
        } else if of_overlay && text.ends_with(".redirect") && kind.is_dir() {
            return Err(SettleError::Redirect(path_of(name)));
        } else if of_overlay && !(OPAQUE.contains(&text) && kind.is_dir()) {
            lremovexattr(place, text).map_err(refused("remove an attribute of", name))?;
        }
    }
    Ok(capability)
}

/// Capabilities of a file in the form without the user id of a namespace's root: version 2 for
/// version 3 (`struct vfs_ns_cap_data` in `linux/capability.h`).
pub(crate) fn untied(value: &[u8]) -> Option<Vec<u8>> {
    const VERSION: u32 = 0xff00_0000;
    const TWO: u32 = 0x0200_0000;
    let (magic, rest) = value.split_first_chunk::<4>()?;
    let magic = u32::from_le_bytes(*magic);
    let rest = rest.get(..16)?;
    let mut untied = (magic & !VERSION | TWO).to_le_bytes().to_vec();
    untied.extend_from_slice(rest);
    Some(untied)
}

fn path_of_bytes(name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// Whether anything in a layer's tree shows: an empty one need not be mounted.
///
/// # Errors
/// When it cannot be read.
pub fn is_empty(tree: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(tree)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

    const ROOT: u32 = 1 << 20;

    fn give(path: &Path, inside: u32) {
        lchown(path, Some(ROOT + inside), Some(ROOT + inside)).unwrap();
    }

    #[test]
    fn what_a_sandbox_wrote_becomes_a_layer() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let ground = tempfile::tempdir().unwrap();
        let tree = ground.path().join("upper");
        fs::create_dir_all(tree.join("dir/closed")).unwrap();
        fs::write(tree.join("dir/tool"), "x").unwrap();
        fs::hard_link(tree.join("dir/tool"), tree.join("dir/twin")).unwrap();
        symlink("/etc/shadow", tree.join("link")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
        drop(socket);
        for name in ["", "dir", "dir/closed", "link", "socket"] {
            give(&tree.join(name), 0);
        }
        give(&tree.join("dir/tool"), 1000);
        fs::set_permissions(tree.join("dir/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        let gone = tree.join("dir/gone");
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, &gone, kind, Mode::empty(), 0).unwrap();
        let set = |name: &str, attribute: &str, value: &[u8]| {
            lsetxattr(tree.join(name), attribute, value, XattrFlags::empty()).unwrap();
        };
        set("dir/closed", OPAQUE[0], b"y");
        set("dir", "trusted.overlay.impure", b"y");
        set("dir/tool", "user.mine", b"kept");
        settle(&tree, Some(ROOT)).unwrap();
        let of = |name: &str| fs::symlink_metadata(tree.join(name)).unwrap();
        assert_eq!((of("").uid(), of("dir").uid(), of("link").gid()), (0, 0, 0));
        assert_eq!((of("dir/tool").uid(), of("dir/twin").gid()), (1000, 1000));
        assert_eq!(of("dir/tool").mode() & 0o7777, 0o4755);
        assert!(!tree.join("socket").exists() && crate::layers::is_whiteout(&of("dir/gone")));
        let mut value = [0; 16];
        let mut read =
            |name: &str, attribute: &str| lgetxattr(tree.join(name), attribute, &mut value);
        assert_eq!(read("dir/closed", OPAQUE[0]), Ok(1));
        assert_eq!(read("dir", "trusted.overlay.impure"), Err(Errno::NODATA));
        assert_eq!(read("dir/tool", "user.mine"), Ok(4));
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let ground = tempfile::tempdir().unwrap();
        give(ground.path(), 0);
        fs::write(ground.path().join("x"), "").unwrap();
        for owner in [5, ROOT + IDS] {
            lchown(ground.path().join("x"), Some(owner), Some(owner)).unwrap();
            give(ground.path(), 0);
            let refused = settle(ground.path(), Some(ROOT));
            assert!(
                matches!(refused, Err(SettleError::Foreign { .. })),
                "{owner}"
            );
        }
    }

    #[test]
    fn capabilities_lose_the_namespace_they_were_given_in() {
        let mut three = 0x0300_0001_u32.to_le_bytes().to_vec();
        three.extend_from_slice(&[7; 16]);
        three.extend_from_slice(&ROOT.to_le_bytes());
        let two = untied(&three).unwrap();
        assert_eq!(
            (two.len(), &two[..4]),
            (20, &0x0200_0001_u32.to_le_bytes()[..])
        );
        assert_eq!(untied(&three[..10]), None);
    }
}
