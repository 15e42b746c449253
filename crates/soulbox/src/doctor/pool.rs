//! What limits the disks of sandboxes, and how full it is.

use super::{Check, Machine};
use soulbox_model::ByteSize;
use soulbox_settings::{Backend, Settings};
use std::path::Path;

/// Above this many parts of a hundred a pool is as good as full.
const FULL: u64 = 90;

/// The quota group of all sandboxes, as Linux names its directory (`node/src/storage/btrfs.rs`).
const ALL: &str = "1_1291";

pub(super) fn checks(machine: &Machine, settings: &Settings) -> Vec<Check> {
    let mut checks = vec![limits(machine, settings)];
    checks.extend(pool(machine, settings));
    checks
}

/// Whether a disk can be larger than what fits in memory.
fn limits(machine: &Machine, settings: &Settings) -> Check {
    const NAME: &str = "disk limits";
    const WHY: &str = "what sandboxes write beyond their memory is kept on disk, within limits";
    if settings.storage.backend == Backend::Memory {
        return Check::found(NAME, WHY, "not used (storage.backend is memory)");
    }
    let data = &settings.paths.data_dir;
    if has_projects(machine, data) {
        return Check::found(NAME, WHY, format!("project quotas of {}", data.display()));
    }
    let listed = machine.text("/proc/filesystems").unwrap_or_default();
    let has_btrfs = listed.split_whitespace().any(|name| name == "btrfs");
    let lacks = if !has_btrfs && !machine.has_module("btrfs") {
        Some((
            "Linux has no btrfs",
            "use a Linux with btrfs, or ext4 or XFS with project quotas",
        ))
    } else if machine.program("mkfs.btrfs").is_none() {
        Some(("mkfs.btrfs not found", "apt-get install btrfs-progs"))
    } else if !machine.has("/dev/loop-control") {
        Some(("no /dev/loop-control", "modprobe loop"))
    } else {
        None
    };
    match lacks {
        None => Check::found(NAME, WHY, "btrfs"),
        Some((seen, mend)) => Check::wanting(NAME, WHY, seen, mend),
    }
}

/// Whether the file system that holds `path` keeps project quotas.
fn has_projects(machine: &Machine, path: &Path) -> bool {
    let mounts = machine.mounts();
    let holds = mounts.iter().filter(|mount| path.starts_with(&mount.at));
    let nearest = holds.max_by_key(|mount| mount.at.as_os_str().len());
    nearest.is_some_and(|mount| {
        let options = mount.options.iter();
        ["ext4", "xfs"].contains(&mount.kind.as_str())
            && options
                .clone()
                .any(|option| option == "prjquota" || option == "pquota")
    })
}

/// The pool's file and how full it is, where there is one.
fn pool(machine: &Machine, settings: &Settings) -> Option<Check> {
    const NAME: &str = "disk pool";
    const WHY: &str =
        "all sandboxes with a disk of their own share it; a full one takes no more of them";
    let file = settings.paths.data_dir.join("storage/pool.btrfs");
    let size = ByteSize(machine.size(&file)? >> 20 << 20);
    let Some((used, total)) = fullness(machine, &file) else {
        let seen = format!("{size} in {}, not in use", file.display());
        return Some(Check::found(NAME, WHY, seen));
    };
    let part = used.saturating_mul(100) / total.max(1);
    let seen = format!(
        "{part} % of {} MiB in use, in {}",
        total >> 20,
        file.display()
    );
    Some(match part < FULL {
        true => Check::found(NAME, WHY, seen),
        false => Check::wanting(
            NAME,
            WHY,
            seen,
            "end sandboxes, or enlarge it (setting storage.size)",
        ),
    })
}

/// Bytes in use and bytes in all of the pool in `file`, while it is in use.
fn fullness(machine: &Machine, file: &Path) -> Option<(u64, u64)> {
    let names = machine.names("/sys/block");
    let mut loops = names.iter().filter(|name| name.starts_with("loop"));
    let device = loops.find(|name| {
        let backing = machine.text(&format!("/sys/block/{name}/loop/backing_file"));
        backing.is_some_and(|backing| Path::new(backing.trim_end()) == file)
    })?;
    let systems = machine.names("/sys/fs/btrfs").into_iter();
    let mut systems = systems.map(|id| format!("/sys/fs/btrfs/{id}"));
    let system = systems.find(|path| machine.has(&format!("{path}/devices/{device}")))?;
    let number = |name: &str| machine.number(&format!("{system}/qgroups/{ALL}/{name}"));
    Some((number("referenced")?, number("max_referenced")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;
    use std::fs;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_pool_that_is_nearly_full_is_told() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let settings = Settings::with(&[("data_dir", "/data")]).unwrap();
        assert_eq!(pool(&machine, &settings), None);
        write(root.path(), "data/storage/pool.btrfs", "");
        let idle = pool(&machine, &settings).unwrap();
        assert!(idle.seen.contains("not in use"), "{idle:?}");
        let backing = "/data/storage/pool.btrfs\n";
        write(root.path(), "sys/block/loop3/loop/backing_file", backing);
        write(root.path(), "sys/fs/btrfs/some-id/devices/loop3/size", "");
        let group = format!("sys/fs/btrfs/some-id/qgroups/{ALL}");
        write(
            root.path(),
            &format!("{group}/max_referenced"),
            "1048576000\n",
        );
        for (used, finding) in [
            ("104857600", Finding::Found),
            ("996147200", Finding::Wanting),
        ] {
            write(root.path(), &format!("{group}/referenced"), used);
            let check = pool(&machine, &settings).unwrap();
            assert_eq!(check.finding, finding, "{check:?}");
            assert!(check.seen.contains("% of 1000 MiB"), "{check:?}");
        }
    }

    #[test]
    fn project_quotas_are_seen_on_the_mount_that_holds_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let mounts =
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /data rw - xfs /dev/b rw,prjquota\n";
        write(root.path(), "proc/self/mountinfo", mounts);
        let machine = Machine::at(root.path());
        assert!(has_projects(&machine, Path::new("/data/soulbox")));
        assert!(!has_projects(&machine, Path::new("/var/lib/soulbox")));
    }
}
