//! What engines that were killed leave, slot by slot.
//!
//! A killed spawner takes its sandboxes along, and Linux takes back their namespaces, mounts and
//! memory. Cgroups and links outside stay, under names that the slot's number tells.

use soulbox_runtime::native::cgroup::{Layout, remove_left};
use soulbox_runtime::native::network::{firewall, link, namespace::Host};
use std::path::Path;

/// A function that removes what is left of a slot and tells whether nothing is.
pub(crate) fn clean_slot(cgroup: &str) -> impl Fn(u32) -> bool {
    let layout = Layout::of_host().unwrap_or_default();
    let host = Host::open();
    move |slot| {
        let groups = remove_left(&layout, cgroup, slot);
        if let Err(error) = &groups {
            tracing::warn!(slot, %error, "cannot remove the cgroups of a dead engine");
        }
        let link = host
            .as_ref()
            .map_or(true, |host| match link::disconnect(host, slot) {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(slot, %error, "cannot remove the link of a dead engine");
                    false
                }
            });
        groups.is_ok() && link
    }
}

/// Takes the walls down that the last engine with internet left by being killed.
pub(crate) fn sweep_walls(machine_dir: &Path) {
    if let Err(error) = firewall::sweep(machine_dir) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old walls stay up"
        );
    }
}
