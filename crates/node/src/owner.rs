//! Owners: the host uid that creates, and so owns, the user namespace of a sandbox.
//!
//! Linux counts much of what a sandbox holds for its namespace's owner too, against one bound:
//! bytes in POSIX message queues, pending signals and timers, locked memory, processes, inotify
//! and fanotify instances, user namespaces (`ucounts` in the Linux sources). Sandboxes that shared
//! an owner could use them up for each other. So each slot has an owner of its own, but for those
//! that copies of one zygote join: they have the owner of the zygote's slot, which is its uid.
//!
//! The uids are those of slot 0, which no sandbox maps: uid n is slot n's. Those from
//! [`SLOTS`](crate::lease::SLOTS) on are nobody's.

use crate::lease::ID_BASE;

/// The owner that `slot` (1 to 4095) alone has.
pub fn of_slot(slot: u32) -> u32 {
    ID_BASE + slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::SLOTS;
    use soulbox_runtime::native::ids;
    use soulbox_wire::spawner::Ids;

    #[test]
    fn owners_differ_and_are_nobody_inside_any_sandbox() {
        let all = (1..SLOTS).map(of_slot);
        let first_inside = ids::root(Ids::Machine { base: ID_BASE }, 1);
        assert!(all.clone().all(|owner| owner < first_inside));
        assert_eq!(all.collect::<std::collections::HashSet<_>>().len(), 4095);
    }
}
