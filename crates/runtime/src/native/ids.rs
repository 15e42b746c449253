//! Which ids a sandbox has, and whose they are outside of it.
//!
//! Root's engine gives each slot a range of its own and shows trees through idmapped mounts. An
//! ordinary user may do neither: Linux shifts the ids of a mount only for whoever governs its file
//! system. That user's engine lives in a user namespace of its own ([`super::rights`]), and ids on
//! disk are those that its sandboxes have:
//!
//! | Inside | with a range | with one id |
//! |---|---|---|
//! | 1000, `user` | the caller | the caller |
//! | 0 to 999, 1001 to 65535 | the caller's subordinate ids | not there |
//!
//! The caller is `user` and not root inside, so that what is mounted from the caller's directories
//! belongs to `user`, and so that root inside is nobody outside.

use soulbox_wire::spawner::Ids;

/// How many host ids a sandbox has: the sixteen bits that Linux distributions number users in.
pub const IDS: u32 = 65_536;

/// The default user inside, whom the caller plays.
const USER: u32 = 1000;

/// The id of a sandbox's root in the spawner's user namespace; with one id that of everybody.
pub fn root(ids: Ids, slot: u32) -> u32 {
    match ids {
        Ids::Machine { base } => base + slot * IDS,
        Ids::Range => 1,
        Ids::One => 0,
    }
}

/// The id of a sandbox's default user in the spawner's user namespace.
pub fn user(ids: Ids, slot: u32) -> u32 {
    match ids {
        Ids::Machine { .. } => root(ids, slot) + USER,
        Ids::Range | Ids::One => 0,
    }
}

/// What is written to a sandbox's `uid_map` and `gid_map`.
pub(super) fn map(ids: Ids, slot: u32) -> String {
    let beyond = USER + 1;
    match ids {
        Ids::Machine { .. } => format!("0 {} {IDS}", root(ids, slot)),
        Ids::Range => format!("0 1 {USER}\n{USER} 0 1\n{beyond} {beyond} {}", IDS - beyond),
        Ids::One => format!("{USER} 0 1"),
    }
}

/// As whom a sandbox's first process runs, inside.
pub(super) fn first(ids: Ids) -> u32 {
    match ids {
        Ids::Machine { .. } | Ids::Range => 0,
        Ids::One => USER,
    }
}

/// Who creates a sandbox's user namespace, in the spawner's. Root's engine says whom; a user's
/// takes another id for each slot while it has any, so that Linux counts each sandbox's processes
/// by themselves.
pub(super) fn owner(ids: Ids, slot: u32, asked: u32) -> u32 {
    match ids {
        Ids::Machine { .. } => asked,
        Ids::Range => slot,
        Ids::One => 0,
    }
}

/// Whether the spawner is the host's root, who may shift the ids of mounts and make devices.
pub(super) fn is_root(ids: Ids) -> bool {
    matches!(ids, Ids::Machine { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an id inside is outside, by the text of a map.
    fn outside(map: &str, id: u32) -> Option<u32> {
        map.lines().find_map(|line| {
            let numbers: Vec<u32> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            let [inside, outside, count] = numbers[..] else {
                panic!("{line}");
            };
            (inside..inside + count)
                .contains(&id)
                .then(|| outside + (id - inside))
        })
    }

    #[test]
    fn with_a_range_every_id_is_another_one_outside() {
        let map = map(Ids::Range, 7);
        let mut all: Vec<_> = (0..IDS).map(|id| outside(&map, id).unwrap()).collect();
        assert_eq!(all[0], root(Ids::Range, 7));
        assert_eq!(all[1000], user(Ids::Range, 7));
        all.sort_unstable();
        // No more than the caller and 65,535 subordinate ids.
        assert_eq!(all, (0..IDS).collect::<Vec<_>>());
    }

    #[test]
    fn with_one_id_the_caller_is_the_default_user() {
        let map = map(Ids::One, 7);
        assert_eq!(outside(&map, 1000), Some(0));
        assert_eq!((outside(&map, 0), outside(&map, 1001)), (None, None));
        assert_eq!(first(Ids::One), 1000);
    }

    #[test]
    fn ranges_of_slots_do_not_meet() {
        let ids = Ids::Machine { base: 0x7000_0000 };
        assert_eq!(map(ids, 2), "0 1879179264 65536");
        assert_eq!(root(ids, 3) - root(ids, 2), IDS);
    }
}
