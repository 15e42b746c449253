//! Subvolumes of btrfs and the limits of what they hold (ioctl_btrfs(2), `linux/btrfs.h`).

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};
use std::ffi::CStr;

/// The commands' family.
const FAMILY: u64 = 0x94;
/// Directions of a command's argument.
const WRITE: u64 = 1;
const READ: u64 = 2;

const fn command(direction: u64, number: u64, size: usize) -> u64 {
    direction << 30 | (size as u64) << 16 | FAMILY << 8 | number
}

/// `BTRFS_QUOTA_CTL_ENABLE`.
const QUOTA_ENABLE: u64 = 1;
/// `BTRFS_SUBVOL_QGROUP_INHERIT`.
const SUBVOL_QGROUP_INHERIT: u64 = 4;
/// `BTRFS_QGROUP_INHERIT_SET_LIMITS`.
const INHERIT_SET_LIMITS: u64 = 1;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const LIMIT_REFERENCED: u64 = 1;
/// Where the level of a quota group stands in its number.
const LEVEL_SHIFT: u32 = 48;
/// `BTRFS_SUBVOL_NAME_MAX` with the final zero.
const NAME: usize = 4040;
/// `BTRFS_PATH_NAME_MAX` with the final zero.
const OLD_NAME: usize = 4088;

/// `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
struct QuotaControl {
    command: u64,
    status: u64,
}

/// `struct btrfs_qgroup_limit`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Limit {
    flags: u64,
    referenced: u64,
    exclusive: u64,
    reserved: [u64; 2],
}

impl Limit {
    const fn of(bytes: u64) -> Self {
        Self {
            flags: LIMIT_REFERENCED,
            referenced: bytes,
            exclusive: 0,
            reserved: [0; 2],
        }
    }
}

/// `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
struct LimitGroup {
    group: u64,
    limit: Limit,
}

/// `struct btrfs_ioctl_qgroup_create_args`.
#[repr(C)]
struct CreateGroup {
    create: u64,
    group: u64,
}

/// `struct btrfs_qgroup_inherit` with one parent.
#[repr(C)]
struct Inherit {
    flags: u64,
    parents: u64,
    copies: [u64; 2],
    limit: Limit,
    parent: u64,
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolumeArguments {
    descriptor: i64,
    transaction: u64,
    flags: u64,
    size: u64,
    inherit: *const Inherit,
    spare: [u64; 2],
    name: [u8; NAME],
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct OldVolumeArguments {
    descriptor: i64,
    name: [u8; OLD_NAME],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct Lookup {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct Info {
    max_id: u64,
    devices: u64,
    id: [u8; 16],
    rest: [u64; 124],
}

/// Makes one call. `T` must be the structure of `number`.
fn call<T>(file: BorrowedFd<'_>, command: u64, argument: *mut T) -> Result<()> {
    // SAFETY: every caller passes a pointer to a live structure of its own with the layout and
    // size that the command names.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command as _, argument) };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// The number of the quota group `id` of `level`; level 0 are those of subvolumes.
#[must_use]
pub const fn group(level: u16, id: u64) -> u64 {
    (level as u64) << LEVEL_SHIFT | id
}

/// Turns the counting of quota groups on for the whole file system. Does nothing when it is on.
///
/// # Errors
/// Linux's own.
pub fn enable_quota(file_system: BorrowedFd<'_>) -> Result<()> {
    let mut argument = QuotaControl {
        command: QUOTA_ENABLE,
        status: 0,
    };
    let number = command(READ | WRITE, 40, size_of::<QuotaControl>());
    match call(file_system, number, &raw mut argument) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// Makes a quota group above the subvolumes' own. Does nothing when it is there.
///
/// # Errors
/// `ENOTCONN` when quota groups are not counted; else Linux's own.
pub fn create_group(file_system: BorrowedFd<'_>, group: u64) -> Result<()> {
    match change_group(file_system, group, 1) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// Removes a quota group. Does nothing when it is not there.
///
/// # Errors
/// `EBUSY` while its subvolume is there; else Linux's own.
pub fn remove_group(file_system: BorrowedFd<'_>, group: u64) -> Result<()> {
    match change_group(file_system, group, 0) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn change_group(file_system: BorrowedFd<'_>, group: u64, create: u64) -> Result<()> {
    let mut argument = CreateGroup { create, group };
    let number = command(WRITE, 42, size_of::<CreateGroup>());
    call(file_system, number, &raw mut argument)
}

/// Limits what a quota group refers to, in bytes.
///
/// # Errors
/// `ENOTCONN` when quota groups are not counted, `ENOENT` when there is no such group.
pub fn limit_group(file_system: BorrowedFd<'_>, group: u64, bytes: u64) -> Result<()> {
    let mut argument = LimitGroup {
        group,
        limit: Limit::of(bytes),
    };
    let number = command(READ, 43, size_of::<LimitGroup>());
    call(file_system, number, &raw mut argument)
}

/// Makes the subvolume `name` in `directory`, limited to `bytes` and counted in the quota group
/// `parent` too.
///
/// # Errors
/// Linux's own; `EDQUOT` and `ENOSPC` when there is no room.
pub fn create_subvolume(
    directory: BorrowedFd<'_>,
    name: &CStr,
    bytes: u64,
    parent: u64,
) -> Result<()> {
    let inherit = Inherit {
        flags: INHERIT_SET_LIMITS,
        parents: 1,
        copies: [0; 2],
        limit: Limit::of(bytes),
        parent,
    };
    let mut argument = VolumeArguments {
        descriptor: 0,
        transaction: 0,
        flags: SUBVOL_QGROUP_INHERIT,
        size: size_of::<Inherit>() as u64,
        inherit: &raw const inherit,
        spare: [0; 2],
        name: [0; NAME],
    };
    fill(&mut argument.name, name)?;
    let number = command(WRITE, 24, size_of::<VolumeArguments>());
    call(directory, number, &raw mut argument)
}

/// Takes the subvolume `name` out of `directory` with all that is in it. Its room comes back in
/// the background.
///
/// # Errors
/// `ENOENT` when it is not there; else Linux's own.
pub fn remove_subvolume(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut argument = OldVolumeArguments {
        descriptor: 0,
        name: [0; OLD_NAME],
    };
    fill(&mut argument.name, name)?;
    let number = command(WRITE, 15, size_of::<OldVolumeArguments>());
    call(directory, number, &raw mut argument)
}

fn fill(place: &mut [u8], name: &CStr) -> Result<()> {
    let name = name.to_bytes();
    // One byte stays zero.
    if name.len() >= place.len() {
        return Err(Errno::NAMETOOLONG);
    }
    for (to, from) in place.iter_mut().zip(name) {
        *to = *from;
    }
    Ok(())
}

/// The number of the subvolume that a directory is in.
///
/// # Errors
/// Linux's own; `ENOTTY` when the file system is not btrfs.
pub fn subvolume_id(directory: BorrowedFd<'_>) -> Result<u64> {
    let mut argument = Lookup {
        tree: 0,
        // `BTRFS_FIRST_FREE_OBJECTID`, the root of each subvolume.
        object: 256,
        name: [0; 4080],
    };
    let number = command(READ | WRITE, 18, size_of::<Lookup>());
    call(directory, number, &raw mut argument)?;
    Ok(argument.tree)
}

/// The id of the file system, by which `/sys/fs/btrfs` names it.
///
/// # Errors
/// Linux's own; `ENOTTY` when the file system is not btrfs.
pub fn file_system_id(file_system: BorrowedFd<'_>) -> Result<[u8; 16]> {
    let mut argument = Info {
        max_id: 0,
        devices: 0,
        id: [0; 16],
        rest: [0; 124],
    };
    let number = command(READ, 31, size_of::<Info>());
    call(file_system, number, &raw mut argument)?;
    Ok(argument.id)
}

/// Grows the file system to its device's size.
///
/// # Errors
/// Linux's own.
pub fn grow(file_system: BorrowedFd<'_>) -> Result<()> {
    let mut argument = OldVolumeArguments {
        descriptor: 0,
        name: [0; OLD_NAME],
    };
    fill(&mut argument.name, c"max")?;
    let number = command(WRITE, 3, size_of::<OldVolumeArguments>());
    call(file_system, number, &raw mut argument)
}

/// Lets Linux write what has changed, in the background; with that begins the taking back of what
/// removed subvolumes held.
///
/// # Errors
/// Linux's own.
pub fn start_sync(file_system: BorrowedFd<'_>) -> Result<()> {
    let mut transaction: u64 = 0;
    let number = command(READ, 24, size_of::<u64>());
    call(file_system, number, &raw mut transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_linux_says() {
        assert_eq!(size_of::<VolumeArguments>(), 4096);
        assert_eq!(size_of::<OldVolumeArguments>(), 4096);
        assert_eq!(size_of::<Lookup>(), 4096);
        assert_eq!(size_of::<Info>(), 1024);
        assert_eq!(size_of::<LimitGroup>(), 48);
        assert_eq!(size_of::<Inherit>(), 80);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let mut place = [0; 4];
        assert_eq!(fill(&mut place, c"abcd"), Err(Errno::NAMETOOLONG));
        assert_eq!(fill(&mut place, c"abc"), Ok(()));
    }
}
