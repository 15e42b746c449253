//! `mount_setattr`: attributes of a mount, id shifting among them.

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};

bitflags::bitflags! {
    /// Attributes of a mount (`MOUNT_ATTR_*`, mount_setattr(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// Nothing can be written.
        const READ_ONLY = 0x1;
        /// Set-user-id bits and file capabilities do nothing.
        const NO_SUID = 0x2;
        /// Device files cannot be opened.
        const NO_DEVICES = 0x4;
        /// Nothing can be executed.
        const NO_EXEC = 0x8;
    }
}

/// `MOUNT_ATTR_IDMAP` (Linux 5.12).
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes on the mount behind `mount`, and on those below it when `recursive`.
///
/// With `shift_ids` (a user namespace) the owners that the mount shows are shifted by that
/// namespace's map; the mount must not be attached anywhere yet.
///
/// # Errors
/// Linux's own, see mount_setattr(2). `EINVAL` with `shift_ids` means that the file system
/// cannot shift ids.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    shift_ids: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> Result<()> {
    let mut set = attributes.bits();
    let mut user_namespace = 0;
    if let Some(fd) = shift_ids {
        set |= MOUNT_ATTR_IDMAP;
        user_namespace = u64::try_from(fd.as_raw_fd()).map_err(|_| Errno::BADF)?;
    }
    let attr = MountAttr {
        set,
        clear: 0,
        propagation: 0,
        user_namespace,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, `attr` has the layout and size that are passed and
    // lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}
