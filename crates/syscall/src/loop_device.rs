//! Loop devices: a file of the host as a block device (loop(4)).

use crate::clone::last_error;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};

/// `LOOP_GET_STATUS64` of `linux/loop.h`.
const LOOP_GET_STATUS64: u64 = 0x4C05;
/// `LOOP_SET_CAPACITY`.
const LOOP_SET_CAPACITY: u64 = 0x4C07;
/// `LOOP_CONFIGURE` (Linux 5.8).
const LOOP_CONFIGURE: u64 = 0x4C0A;
/// `LOOP_CTL_GET_FREE`.
const LOOP_CTL_GET_FREE: u64 = 0x4C82;

/// `LO_FLAGS_AUTOCLEAR`: the device lets go of the file with its last user.
const AUTOCLEAR: u32 = 4;
/// `LO_FLAGS_DIRECT_IO`: past the page cache of the file's own file system, where that can.
const DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
}

impl Info {
    const fn empty() -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            names: [0; 160],
            init: [0; 2],
        }
    }
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    file: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// The file behind a loop device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing {
    /// The device that the file is on, as Linux numbers it.
    pub device: u64,
    /// The file's inode.
    pub inode: u64,
}

/// The number of a loop device that is free, made by Linux when there is none. Somebody else may
/// take it before the caller does.
///
/// # Errors
/// Linux's own, see loop(4).
pub fn free_number(control: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: the call takes no argument beyond the command.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    u32::try_from(number).map_err(|_| last_error())
}

/// Puts `file` behind a free loop device, which lets go of it with its last user, however that
/// one ends. Its input and output pass the page cache by where the file's file system can do so.
///
/// # Errors
/// `EBUSY` when the device is in use; else Linux's own, see loop(4).
pub fn configure(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<()> {
    let config = Config {
        file: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?,
        block_size: 0,
        info: Info {
            flags: AUTOCLEAR | DIRECT_IO,
            ..Info::empty()
        },
        reserved: [0; 8],
    };
    // SAFETY: `config` has the layout that the command reads and lives through the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// The file behind a loop device.
///
/// # Errors
/// `ENXIO` when there is none; else Linux's own, see loop(4).
pub fn backing(device: BorrowedFd<'_>) -> Result<Backing> {
    let mut info = Info::empty();
    // SAFETY: `info` has the layout that the command fills and lives through the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) };
    if result < 0 {
        return Err(last_error());
    }
    Ok(Backing {
        device: info.device,
        inode: info.inode,
    })
}

/// Lets a loop device see that its file has grown.
///
/// # Errors
/// Linux's own, see loop(4).
pub fn follow_size(device: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the call takes no argument beyond the command.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY as _) };
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_linux_says() {
        assert_eq!((size_of::<Info>(), size_of::<Config>()), (232, 304));
    }
}
