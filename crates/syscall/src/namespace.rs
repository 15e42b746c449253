//! Moving the calling thread into new or other namespaces.

use rustix::fd::BorrowedFd;
use rustix::io::Result;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Gives the caller a mount namespace of its own, a copy of the one it is in.
///
/// # Errors
/// Linux's own, see unshare(2).
pub fn new_mount_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWNS)
}

/// Gives the caller a user namespace of its own, in which it has every capability and no id is
/// mapped yet, and a mount namespace that belongs to it. The caller must have one thread only.
///
/// # Errors
/// Linux's own, see unshare(2).
pub fn new_user_and_mount_namespaces() -> Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
}

/// Gives the caller an empty network namespace.
///
/// # Errors
/// Linux's own, see unshare(2).
pub fn new_network_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWNET)
}

/// Makes the caller's present cgroups the root of what it and its children see.
///
/// # Errors
/// Linux's own, see unshare(2).
pub fn new_cgroup_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWCGROUP)
}

/// Moves the caller into the network namespace behind `namespace`.
///
/// # Errors
/// Linux's own, see setns(2).
pub fn enter_network_namespace(namespace: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
}

fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: none of the flags passed here is CLONE_FILES, the one that can leave Rust's I/O
    // types pointing to descriptors of another table.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}
