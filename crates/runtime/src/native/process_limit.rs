//! Counting processes without a cgroup, by `RLIMIT_NPROC`.
//!
//! Since 5.14 Linux counts the processes of each user in each user namespace by themselves, and
//! those of a whole namespace again for its owner, up to what its maker's limit was (`ucounts` in
//! the Linux sources). Lowered around a sandbox's making, with an owner that no other sandbox has,
//! the limit holds for all its users together; lowered in its first process, for each of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
