//! What an entry has beside its content: owner, mode, attributes, times.

use super::UnpackError;
use super::error::refused;
use super::member::{Kind, Member, Time};
use crate::layers::OPAQUE;
use crate::settle::untied;
use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// The attribute with a file's capabilities.
pub(super) const CAPABILITY: &str = "security.capability";

/// Gives an entry its owner, mode and attributes. The owner comes first: a change of it clears the
/// bits that change the user, and capabilities.
pub(super) fn dress(
    open: BorrowedFd<'_>,
    path: &[u8],
    member: &Member,
    (uid, gid): (Uid, Gid),
) -> Result<(), UnpackError> {
    rustix::fs::fchown(open, Some(uid), Some(gid)).map_err(refused("give away", path))?;
    let mode = Mode::from_raw_mode(member.mode);
    rustix::fs::fchmod(open, mode).map_err(refused("set the mode of", path))?;
    for (name, value) in &member.attributes {
        let ours = name.starts_with("user.") && !name.starts_with("user.overlay.");
        let value = match name.as_str() {
            CAPABILITY if member.kind == Kind::File => untied(value),
            _ if ours => Some(value.clone()),
            _ => None,
        };
        let Some(value) = value else {
            continue;
        };
        match rustix::fs::fsetxattr(open, name, &value, XattrFlags::empty()) {
            // Some file systems have none.
            Err(Errno::NOTSUP) => {}
            set => set.map_err(refused("set an attribute of", path))?,
        }
    }
    Ok(())
}

/// Makes a directory opaque: in the way of root's trees, or of those of who is not.
pub(super) fn opaque(open: &impl AsFd, path: &[u8]) -> Result<(), UnpackError> {
    let set = |name| rustix::fs::fsetxattr(open, name, b"y", XattrFlags::empty());
    set(OPAQUE[0])
        .or_else(|_| set(OPAQUE[1]))
        .map_err(refused("make opaque", path))
}

pub(super) fn times(time: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
