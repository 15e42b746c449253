//! Counting processes by `RLIMIT_NPROC`: all that there is without a cgroup, and the cheaper refusal
//! beside one.
//!
//! Since 5.14 Linux counts the processes of each user in each user namespace by themselves, and
//! those of a whole namespace again for its owner, up to what its maker's limit was (`ucounts` in
//! the Linux sources). Lowered around a sandbox's making, with an owner that no other sandbox has,
//! the limit holds for all its users together; lowered in its first process, for each of them.
//!
//! Linux asks the cgroup last, when it has copied the caller's memory, under a lock of each file
//! that is mapped (`copy_process`). Those of libc and the loader are shared by all sandboxes of a
//! template: beside a thousand processes that tried to fork, a neighbour's program waited for them
//! for up to 47 s. This limit it asks first.

use super::ids;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use soulbox_wire::spawner::Ids;

/// The limit of each user in a sandbox that may have `pids` processes.
///
/// Root's spawner cannot have Linux count all users together (it takes no limit from a maker who is
/// the host's root), so each has a little less than what the cgroup allows, and meets this limit
/// first while others inside have few.
pub(super) fn of_each_user(ids: Ids, pids: u32) -> u32 {
    match ids::is_root(ids) {
        true => pids - pids / 32,
        false => pids,
    }
}

/// Lowers the caller's limit of processes to `pids`, for good when it is to stay. Gives the limit
/// as it was.
pub(super) fn lower(pids: u32, to_stay: bool) -> Rlimit {
    let before = getrlimit(Resource::Nproc);
    let limit = before
        .maximum
        .map_or(u64::from(pids), |most| most.min(pids.into()));
    let maximum = if to_stay { Some(limit) } else { before.maximum };
    // Lowering is always allowed.
    let _ = setrlimit(
        Resource::Nproc,
        Rlimit {
            current: Some(limit),
            maximum,
        },
    );
    before
}

/// Sets the limit that [`lower`] gave.
pub(super) fn restore(before: Rlimit) {
    // Up to the hard limit, which was not lowered, raising is always allowed.
    let _ = setrlimit(Resource::Nproc, before);
}
