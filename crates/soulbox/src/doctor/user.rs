//! What an ordinary user has: ids, limits, user namespaces.

use super::{Check, Machine};
use soulbox_runtime::native::cgroup::{Controller, Layout};
use soulbox_runtime::native::rights::{self, Range};

pub(super) fn checks(machine: &Machine, uid: u32) -> Vec<Check> {
    let layout = Layout::of_user().unwrap_or_else(|_| Layout {
        missing: Controller::NEEDED.to_vec(),
        ..Layout::default()
    });
    let layout = layout.without(Controller::Io);
    let mut checks = vec![
        ids(uid, rights::range_of(uid), rights::programs().is_some()),
        limits(&layout),
        attributes(machine),
    ];
    checks.extend(apparmor(machine));
    checks.push(internet());
    checks
}

fn ids(uid: u32, range: Option<Range>, programs: bool) -> Check {
    const NAME: &str = "subordinate ids";
    const WHY: &str = "with one id only there is no root inside, no sudo and no other user";
    match (range, programs) {
        (Some(Range { user, group }), true) => Check::found(
            NAME,
            WHY,
            format!("65,536 users from {user} on, groups from {group} on"),
        ),
        (Some(_), false) => Check::wanting(
            NAME,
            WHY,
            "listed, but newuidmap and newgidmap are not there",
            "apt-get install uidmap",
        ),
        (None, _) => Check::wanting(
            NAME,
            WHY,
            format!("none of user {uid}'s own in /etc/subuid and /etc/subgid"),
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, \
             with a range that nobody else has",
        ),
    }
}

fn limits(layout: &Layout) -> Check {
    const NAME: &str = "limits";
    const WHY: &str = "sandboxes of a user are limited by cgroups that were delegated to that user";
    let names = |all: &[Controller]| {
        let names: Vec<_> = all.iter().map(|controller| controller.name()).collect();
        names.join(", ")
    };
    if layout.missing.is_empty() {
        return Check::found(NAME, WHY, names(&Controller::NEEDED));
    }
    Check::wanting(
        NAME,
        WHY,
        format!("not enforced: {}", names(&layout.missing)),
        "systemd-run --user --scope -p Delegate=yes soulbox …, or run it with sudo; \
         --require-limits refuses to run without",
    )
}

fn attributes(machine: &Machine) -> Check {
    const NAME: &str = "tmpfs attributes";
    const WHY: &str = "without a user's attributes on tmpfs, directories of the template cannot be replaced inside";
    match machine.tmpfs_takes_attributes("user.overlay.opaque") {
        Some(true) => Check::found(NAME, WHY, "there"),
        Some(false) => Check::wanting(NAME, WHY, "refused", "install Linux 6.6 or later"),
        None => Check::wanting(
            NAME,
            WHY,
            "cannot be tried: /dev/shm cannot be written",
            "install Linux 6.6 or later if it is older",
        ),
    }
}

/// Ubuntu lets programs without a profile make user namespaces that have no rights.
fn apparmor(machine: &Machine) -> Option<Check> {
    let restricted = machine.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    (restricted == Some(1)).then(|| {
        Check::missing(
            "user namespaces",
            "sandboxes of a user are made in a user namespace",
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, an AppArmor profile for \
             soulbox with `userns,`, or sudo",
        )
    })
}

fn internet() -> Check {
    Check::wanting(
        "internet",
        "links to the host's network are root's to make",
        "a user's sandboxes have --network none only",
        "run it with sudo for --network internet",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn what_a_user_lacks_is_wanting_and_told_with_its_cure() {
        let range = Range {
            user: 100_000,
            group: 200_000,
        };
        assert_eq!(ids(1000, Some(range), true).finding, Finding::Found);
        let check = ids(1000, Some(range), false);
        assert_eq!(check.finding, Finding::Wanting);
        assert!(check.mend.unwrap().contains("uidmap"));
        assert!(ids(1000, None, true).mend.unwrap().contains("usermod"));
        let some = Layout {
            missing: vec![Controller::Cpu],
            ..Layout::default()
        };
        assert_eq!(limits(&some).seen, "not enforced: cpu");
        assert_eq!(limits(&Layout::default()).finding, Finding::Found);
    }
}
