//! A network namespace of a user namespace that somebody else owns.
//!
//! Who may enter a network namespace is who has rights over the user namespace that it was made in.
//! Those of the host's own are the host's root alone; a zygote's copies could not enter them. One that
//! was made in a fresh user namespace of the zygote's uid they can ([`soulbox_wire::zygote`]), and
//! nobody inside of a sandbox, whose user namespace is another one, has any say in it all the same.

use crate::native::step::{Step, StepError};
use rustix::fd::OwnedFd;
use rustix::fs::Uid;
use rustix::io::Errno;
use soulbox_syscall::stranger;

/// Makes a network namespace in a fresh user namespace of `owner`'s. Both live for as long as the
/// former is used.
pub(super) fn create(owner: u32) -> Result<OwnedFd, StepError> {
    let made = set_effective_user(owner).and_then(|()| stranger::network_namespace());
    if set_effective_user(0).is_err() {
        // Nothing that this process did from here on would be done as who it is meant to be.
        std::process::abort();
    }
    made.step(|| format!("make a network namespace of the user {owner}'s"))
}

fn set_effective_user(uid: u32) -> Result<(), Errno> {
    rustix::thread::set_thread_res_uid(None, Some(Uid::from_raw(uid)), None)
}
