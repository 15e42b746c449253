//! Project quotas of ext4 and XFS: a directory tree with a number, and limits for that number
//! (quotactl_fd(2), `linux/fs.h`).

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Result;

/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`.
const GET_ATTRIBUTES: u64 = 0x801C_581F;
const SET_ATTRIBUTES: u64 = 0x401C_5820;
/// `FS_XFLAG_PROJINHERIT`: what is made in the directory gets its number.
const INHERIT: u32 = 0x200;
/// `QCMD(Q_SETQUOTA, PRJQUOTA)` and `QCMD(Q_GETQUOTA, PRJQUOTA)`.
const SET_QUOTA: u32 = 0x80_0008 << 8 | 2;
const GET_QUOTA: u32 = 0x80_0007 << 8 | 2;
/// `QIF_BLIMITS | QIF_ILIMITS`.
const LIMITS: u32 = 1 | 4;
/// Limits are in units of this many bytes (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Default)]
struct Quota {
    hard_blocks: u64,
    soft_blocks: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// What a project has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// Gives an empty directory the number `project`; what is made in it inherits that.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` when the file system has no projects.
pub fn assign(directory: BorrowedFd<'_>, project: u32) -> Result<()> {
    let mut attributes = Attributes::default();
    let fd = directory.as_raw_fd();
    // SAFETY: `attributes` has the layout that the command fills and lives through the call.
    let got = unsafe { libc::ioctl(fd, GET_ATTRIBUTES as _, &raw mut attributes) };
    if got < 0 {
        return Err(last_error());
    }
    attributes.flags |= INHERIT;
    attributes.project = project;
    // SAFETY: as above; this command only reads it.
    let set = unsafe { libc::ioctl(fd, SET_ATTRIBUTES as _, &raw const attributes) };
    if set < 0 { Err(last_error()) } else { Ok(()) }
}

fn quota(file: BorrowedFd<'_>, command: u32, project: u32, quota: &mut Quota) -> Result<()> {
    // SAFETY: `quota` has the layout of both commands that this file passes and lives through
    // the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            file.as_raw_fd(),
            command,
            project,
            &raw mut *quota,
        )
    };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// Limits what all files of `project` on the file system of `file` hold. Zeroes take the limits
/// away.
///
/// # Errors
/// `ESRCH` or `ENOSYS` when project quotas are not counted there.
pub fn limit(file: BorrowedFd<'_>, project: u32, bytes: u64, inodes: u64) -> Result<()> {
    let mut limits = Quota {
        hard_blocks: bytes.div_ceil(BLOCK),
        soft_blocks: bytes.div_ceil(BLOCK),
        hard_inodes: inodes,
        soft_inodes: inodes,
        valid: LIMITS,
        ..Quota::default()
    };
    quota(file, SET_QUOTA, project, &mut limits)
}

/// What all files of `project` on the file system of `file` hold.
///
/// # Errors
/// `ESRCH` or `ENOSYS` when project quotas are not counted there.
pub fn used(file: BorrowedFd<'_>, project: u32) -> Result<Used> {
    let mut found = Quota::default();
    quota(file, GET_QUOTA, project, &mut found)?;
    Ok(Used {
        bytes: found.bytes,
        inodes: found.inodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_linux_says() {
        assert_eq!((size_of::<Attributes>(), size_of::<Quota>()), (28, 72));
    }
}
