//! A sandbox's limits as the driver takes them, and the host's disks that they are about.

use soulbox_model::Limits;
use soulbox_wire::spawner::{CgroupLimits, IoLimit};

/// Kinds of block devices that hold no files of sandboxes: compressed memory, memory, and the
/// network's and floppies.
const NONE: [&str; 5] = ["zram", "ram", "fd", "nbd", "sr"];

/// A sandbox's limits as its cgroups take them.
pub(crate) fn cgroup_limits(limits: &Limits) -> CgroupLimits {
    CgroupLimits {
        cpu_millis: limits.cpu_millis,
        cpu_weight: limits.cpu_weight,
        memory: limits.memory_max.bytes(),
        memory_reserved: limits.memory.bytes(),
        pids: limits.pids,
        io: of_disks(limits),
    }
}

/// Whether there is anything to limit about disks.
pub(crate) fn limits_disks(limits: &Limits) -> bool {
    limits.io_read.bytes() > 0 || limits.io_write.bytes() > 0
}

/// The limits of `limits` for each whole disk of the host; none when there are none.
fn of_disks(limits: &Limits) -> Vec<IoLimit> {
    let (read, write) = (limits.io_read.bytes(), limits.io_write.bytes());
    if read == 0 && write == 0 {
        return Vec::new();
    }
    let each = |device| IoLimit {
        device,
        read,
        write,
    };
    whole_disks().into_iter().map(each).collect()
}

/// The host's whole disks, as `major:minor`. Linux limits those, not their parts; a file that is
/// mounted as a disk (`loop`) is one itself.
fn whole_disks() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let disks = names.filter(|name| !NONE.iter().any(|kind| is_kind(name, kind)));
    disks
        .filter_map(|name| {
            let size = std::fs::read_to_string(format!("/sys/block/{name}/size")).ok()?;
            let number = std::fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
            (size.trim() != "0").then(|| number.trim().to_owned())
        })
        .collect()
}

/// Whether `name` is `kind` and a number.
fn is_kind(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::ByteSize;

    #[test]
    fn kinds_are_names_with_numbers() {
        assert!(is_kind("zram0", "zram") && is_kind("fd0", "fd"));
        assert!(!is_kind("sda", "sr") && !is_kind("srv", "sr"));
    }

    #[test]
    fn nothing_is_limited_unless_it_was_asked_for() {
        let plain = Limits::usual(1000, ByteSize::gib(1), 10, ByteSize::gib(1));
        assert_eq!(of_disks(&plain), []);
        let limited = Limits {
            io_read: ByteSize::mib(1),
            ..plain
        };
        let all = of_disks(&limited);
        assert!(
            all.iter()
                .all(|limit| limit.read == 1 << 20 && limit.write == 0)
        );
    }
}
