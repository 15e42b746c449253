//! How limits can be set.

use super::{Check, Machine};
use std::collections::BTreeSet;

const WHY: &str = "the limits of processor time, memory and processes are cgroups'";

/// The controllers that limits need.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// How cgroups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One tree for everything.
    Unified,
    /// A tree for each controller, and one without controllers.
    Hybrid,
    /// A tree for each controller.
    Legacy,
    /// None.
    Absent,
}

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let layout = layout(machine);
    vec![
        layout_check(layout),
        controllers(machine, layout),
        writable(machine, layout),
        disks(machine, layout),
        told(machine),
    ]
}

/// The layout that the mounts show.
pub(super) fn layout(machine: &Machine) -> Layout {
    let mounts = machine.mounts();
    let two = mounts.iter().find(|mount| mount.kind == "cgroup2");
    let one = mounts.iter().any(|mount| {
        mount.kind == "cgroup"
            && !mount
                .options
                .iter()
                .any(|option| option.starts_with("name="))
    });
    match (one, two) {
        (false, Some(_)) => Layout::Unified,
        (true, Some(_)) => Layout::Hybrid,
        (true, None) => Layout::Legacy,
        (false, None) => Layout::Absent,
    }
}

fn layout_check(layout: Layout) -> Check {
    const NAME: &str = "cgroups";
    match layout {
        Layout::Unified => Check::found(NAME, WHY, "v2"),
        Layout::Hybrid => Check::found(NAME, WHY, "hybrid: limits by v1"),
        Layout::Legacy => Check::found(NAME, WHY, "v1"),
        Layout::Absent => Check::missing(
            NAME,
            WHY,
            "not mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
    }
}

fn controllers(machine: &Machine, layout: Layout) -> Check {
    const NAME: &str = "cgroup controllers";
    let there: BTreeSet<String> = match layout {
        Layout::Unified => {
            let text = machine
                .text("/sys/fs/cgroup/cgroup.controllers")
                .unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        }
        _ => {
            let mounts = machine
                .mounts()
                .into_iter()
                .filter(|mount| mount.kind == "cgroup");
            mounts.flat_map(|mount| mount.options).collect()
        }
    };
    let lacking: Vec<_> = CONTROLLERS
        .into_iter()
        .filter(|name| !there.contains(*name))
        .collect();
    if lacking.is_empty() {
        return Check::found(NAME, WHY, CONTROLLERS.join(", "));
    }
    let mend = if lacking.contains(&"memory") {
        "add cgroup_enable=memory to the Linux command line (GRUB_CMDLINE_LINUX), then restart"
    } else {
        "enable the controllers in Linux, or delegate them to the container this runs in"
    };
    Check::missing(NAME, WHY, format!("lacks {}", lacking.join(", ")), mend)
}

fn writable(machine: &Machine, layout: Layout) -> Check {
    const NAME: &str = "cgroups writable";
    let wanted = |kind: &str, options: &[String]| match layout {
        Layout::Unified => kind == "cgroup2",
        _ => {
            kind == "cgroup"
                && options
                    .iter()
                    .any(|name| CONTROLLERS.contains(&name.as_str()))
        }
    };
    let mounts = machine.mounts();
    let refused: Vec<_> = mounts
        .iter()
        .filter(|mount| wanted(&mount.kind, &mount.options) && !machine.may_write(&mount.at))
        .map(|mount| mount.at.display().to_string())
        .collect();
    if refused.is_empty() {
        return Check::found(NAME, WHY, "yes");
    }
    Check::missing(
        NAME,
        WHY,
        format!("{} cannot be written", refused.join(", ")),
        "run as root on the host, or give the container a cgroup namespace of its own",
    )
}

/// Without it sandboxes run all the same; only `--io-read` and `--io-write` are refused.
fn disks(machine: &Machine, layout: Layout) -> Check {
    const NAME: &str = "limits of disks";
    const WHY: &str = "--io-read and --io-write are cgroups' too";
    let offers = machine
        .text("/sys/fs/cgroup/cgroup.controllers")
        .unwrap_or_default();
    let v1 = machine
        .mounts()
        .into_iter()
        .any(|mount| mount.kind == "cgroup" && mount.options.iter().any(|name| name == "blkio"));
    match layout {
        Layout::Unified if offers.split_whitespace().any(|name| name == "io") => {
            Check::found(NAME, WHY, "io of cgroup v2")
        }
        Layout::Hybrid | Layout::Legacy if v1 => {
            Check::found(NAME, WHY, "blkio of cgroup v1: reads and unbuffered writes")
        }
        _ => Check::wanting(
            NAME,
            WHY,
            "no such controller",
            "enable the controller io (CONFIG_BLK_CGROUP, CONFIG_BLK_DEV_THROTTLING) in Linux",
        ),
    }
}

/// Where Linux tells which process it killed.
fn told(machine: &Machine) -> Check {
    const NAME: &str = "log of Linux";
    const WHY: &str = "a run that is out of memory names the process by it";
    if machine.has("/dev/kmsg") {
        return Check::found(NAME, WHY, "/dev/kmsg");
    }
    Check::wanting(
        NAME,
        WHY,
        "no /dev/kmsg",
        "give the container this runs in the device /dev/kmsg",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;
    use std::fs;

    fn machine(mounts: &str, controllers: &str) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::create_dir_all(root.path().join("sys/fs/cgroup")).unwrap();
        fs::write(root.path().join("proc/self/mountinfo"), mounts).unwrap();
        fs::write(
            root.path().join("sys/fs/cgroup/cgroup.controllers"),
            controllers,
        )
        .unwrap();
        let machine = Machine::at(root.path());
        (root, machine)
    }

    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const SYSTEMD: &str =
        "37 31 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";

    #[test]
    fn every_layout_is_told() {
        for (mounts, expected) in [
            (V2.to_owned(), Layout::Unified),
            (format!("{V1}{SYSTEMD}"), Layout::Legacy),
            (format!("{V1}{SYSTEMD}{V2}"), Layout::Hybrid),
            (format!("{SYSTEMD}{V2}"), Layout::Unified),
            (String::new(), Layout::Absent),
        ] {
            let (_root, machine) = machine(&mounts, "");
            assert_eq!(layout(&machine), expected, "{mounts}");
        }
    }

    #[test]
    fn limits_of_disks_are_told_by_their_layout() {
        let blkio = "38 31 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n";
        for (mounts, offers, kind, finding) in [
            (
                V2.to_owned(),
                "cpu io memory pids",
                Layout::Unified,
                Finding::Found,
            ),
            (
                V2.to_owned(),
                "cpu memory pids",
                Layout::Unified,
                Finding::Wanting,
            ),
            (format!("{V1}{blkio}"), "", Layout::Legacy, Finding::Found),
            (V1.to_owned(), "io", Layout::Legacy, Finding::Wanting),
        ] {
            let (_root, machine) = machine(&mounts, offers);
            assert_eq!(disks(&machine, kind).finding, finding, "{mounts}");
        }
    }

    #[test]
    fn a_missing_memory_controller_is_told_with_its_cure() {
        let (_root, whole) = machine(V2, "cpuset cpu io memory pids\n");
        assert_eq!(controllers(&whole, Layout::Unified).finding, Finding::Found);
        let (_root, without) = machine(V2, "cpu pids\n");
        let check = controllers(&without, Layout::Unified);
        assert_eq!(check.seen, "lacks memory");
        assert!(check.mend.unwrap().contains("cgroup_enable=memory"));
        let (_root, legacy) = machine(V1, "");
        assert_eq!(controllers(&legacy, Layout::Legacy).finding, Finding::Found);
    }
}
