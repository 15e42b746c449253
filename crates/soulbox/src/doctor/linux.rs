//! What Linux must be able to do.

use super::{Check, Machine};

/// The first Linux whose overlay file system takes idmapped layers.
const OLDEST: (u32, u32) = (5, 19);

/// Below this many process ids, a thousand sandboxes do not fit.
const FEW_PIDS: u64 = 32_768;

/// The host ids that sandboxes use: 4,096 ranges of 65,536 from 0x7000_0000 on.
const IDS: (u64, u64) = (0x7000_0000, 0x7fff_ffff);

/// What everybody needs.
pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let mut checks = vec![version(machine), namespaces(machine)];
    checks.extend(user_namespaces(machine));
    checks.extend([overlay(machine), seccomp(machine), process_ids(machine)]);
    checks
}

/// What root needs.
pub(super) fn checks_of_root(machine: &Machine) -> Vec<Check> {
    vec![tmpfs_attributes(machine), host_ids(machine)]
}

fn version(machine: &Machine) -> Check {
    const NAME: &str = "Linux version";
    const WHY: &str = "templates are shown to sandboxes as idmapped overlay layers, new in 5.19";
    let release = machine
        .text("/proc/sys/kernel/osrelease")
        .unwrap_or_default();
    let release = release.trim();
    match numbers(release) {
        Some(found) if found >= OLDEST => Check::found(NAME, WHY, release),
        _ => Check::missing(
            NAME,
            WHY,
            format!("{release:?}"),
            "install a newer Linux: `apt-get install linux-image-amd64` (Debian 12 has 6.1), then restart",
        ),
    }
}

fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn namespaces(machine: &Machine) -> Check {
    const NAME: &str = "namespaces";
    const WHY: &str = "they are what keeps sandboxes apart";
    let all = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let lacking: Vec<_> = all
        .into_iter()
        .filter(|kind| !machine.has(&format!("/proc/self/ns/{kind}")))
        .collect();
    if lacking.is_empty() {
        return Check::found(NAME, WHY, all.join(", "));
    }
    let mend = "use a Linux built with CONFIG_NAMESPACES and all its kinds, as distributions' are";
    Check::missing(NAME, WHY, format!("lacks {}", lacking.join(", ")), mend)
}

/// The switches with which distributions turn user namespaces off.
fn user_namespaces(machine: &Machine) -> Vec<Check> {
    const NAME: &str = "user namespaces";
    const WHY: &str = "root inside a sandbox is nobody outside, by a user namespace";
    let unprivileged = machine.number("/proc/sys/kernel/unprivileged_userns_clone");
    let restricted = machine.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let most = machine.number("/proc/sys/user/max_user_namespaces");
    let mut checks = vec![match most {
        Some(most) if most >= 4096 => Check::found(NAME, WHY, format!("at most {most}")),
        Some(most) => Check::missing(
            NAME,
            WHY,
            format!("user.max_user_namespaces is {most}, less than 4096"),
            "sysctl -w user.max_user_namespaces=65536",
        ),
        None => Check::missing(
            NAME,
            WHY,
            "not there",
            "use a Linux built with CONFIG_USER_NS",
        ),
    }];
    // The spawner makes them as an id of its own that is not root, so both switches count.
    if unprivileged == Some(0) {
        checks.push(Check::missing(
            NAME,
            WHY,
            "kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ));
    }
    if restricted == Some(1) {
        checks.push(Check::wanting(
            NAME,
            "AppArmor may refuse what a process without a profile does in a user namespace",
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, if `soulbox run` is refused",
        ));
    }
    checks
}

fn overlay(machine: &Machine) -> Check {
    const NAME: &str = "overlay";
    const WHY: &str = "a sandbox writes on top of its template, never into it";
    let listed = machine.text("/proc/filesystems").unwrap_or_default();
    if listed
        .lines()
        .any(|line| line.trim_end().ends_with("\toverlay"))
    {
        return Check::found(NAME, WHY, "there");
    }
    if machine.has_module("overlay") {
        return Check::found(NAME, WHY, "a module that is loaded when it is needed");
    }
    Check::missing(NAME, WHY, "not there", "modprobe overlay")
}

fn tmpfs_attributes(machine: &Machine) -> Check {
    const NAME: &str = "tmpfs attributes";
    const WHY: &str =
        "the overlay keeps its marks in extended attributes of the tmpfs it writes to";
    match machine.tmpfs_takes_attributes("trusted.overlay.opaque") {
        Some(true) => Check::found(NAME, WHY, "there"),
        Some(false) => Check::missing(
            NAME,
            WHY,
            "refused",
            "use a Linux built with CONFIG_TMPFS_XATTR, as distributions' are",
        ),
        None => Check::wanting(
            NAME,
            WHY,
            "cannot be tried: /dev/shm cannot be written",
            "run as root",
        ),
    }
}

fn seccomp(machine: &Machine) -> Check {
    const NAME: &str = "seccomp";
    const WHY: &str = "it takes away the system calls that code in a sandbox has no need of";
    let actions = machine
        .text("/proc/sys/kernel/seccomp/actions_avail")
        .unwrap_or_default();
    if actions.split_whitespace().any(|action| action == "errno") {
        return Check::found(NAME, WHY, "there");
    }
    let mend = "use a Linux built with CONFIG_SECCOMP_FILTER, as distributions' are";
    Check::missing(NAME, WHY, "no filters", mend)
}

fn process_ids(machine: &Machine) -> Check {
    const NAME: &str = "process ids";
    const WHY: &str = "each process of each sandbox takes one of the host's";
    match machine.number("/proc/sys/kernel/pid_max") {
        Some(most) if most > FEW_PIDS => Check::found(NAME, WHY, format!("up to {most}")),
        Some(most) => Check::wanting(
            NAME,
            WHY,
            format!("kernel.pid_max is {most}: enough for some hundreds of sandboxes"),
            "sysctl -w kernel.pid_max=4194304",
        ),
        None => Check::wanting(NAME, WHY, "unknown", "mount /proc"),
    }
}

fn host_ids(machine: &Machine) -> Check {
    const NAME: &str = "host ids";
    const WHY: &str = "each sandbox has 65,536 host ids that nobody else may have";
    let mut taken: Vec<String> = Vec::new();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = machine.text(file).unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| range(line).is_some_and(overlaps));
        taken.extend(lines.map(|line| format!("{file}: {line}")));
    }
    for file in ["/etc/passwd", "/etc/group"] {
        let text = machine.text(file).unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| account(line).is_some_and(|id| overlaps((id, id))));
        taken.extend(
            lines.map(|line| format!("{file}: {}", line.split(':').next().unwrap_or_default())),
        );
    }
    if taken.is_empty() {
        return Check::found(NAME, WHY, format!("{} to {} are free", IDS.0, IDS.1));
    }
    Check::missing(
        NAME,
        WHY,
        format!("taken: {}", taken.join("; ")),
        format!("give these accounts ids outside of {} to {}", IDS.0, IDS.1),
    )
}

fn overlaps((first, last): (u64, u64)) -> bool {
    first <= IDS.1 && last >= IDS.0
}

/// The ids of a line `name:first:count`.
fn range(line: &str) -> Option<(u64, u64)> {
    let mut parts = line
        .split(':')
        .skip(1)
        .map(|part| part.trim().parse::<u64>());
    let first = parts.next()?.ok()?;
    let count = parts.next()?.ok()?;
    Some((first, first.saturating_add(count.checked_sub(1)?)))
}

/// The id of a line `name:x:id:…`.
fn account(line: &str) -> Option<u64> {
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn old_linux_is_told() {
        for (release, finding) in [
            ("5.10.0-28-amd64\n", Finding::Missing),
            ("5.19.0", Finding::Found),
            ("6.1.0-18-cloud-amd64", Finding::Found),
            ("", Finding::Missing),
        ] {
            let (_root, machine) = machine(&[("/proc/sys/kernel/osrelease", release)]);
            assert_eq!(version(&machine).finding, finding, "{release}");
        }
    }

    #[test]
    fn switched_off_user_namespaces_are_told_with_the_command() {
        let (_root, machine) = machine(&[
            ("/proc/sys/user/max_user_namespaces", "96365"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ]);
        let checks = user_namespaces(&machine);
        assert_eq!(checks.len(), 2);
        assert!(
            checks[1]
                .mend
                .as_ref()
                .unwrap()
                .contains("unprivileged_userns_clone=1")
        );
    }

    #[test]
    fn taken_host_ids_are_told() {
        let (_root, free) = machine(&[("/etc/subuid", "me:100000:65536\nx\ny:1\n")]);
        assert_eq!(host_ids(&free).finding, Finding::Found);
        let (_root, taken) = machine(&[
            ("/etc/subuid", "me:1879048000:65536\n"),
            ("/etc/passwd", "big:x:1900000000:1::/:/bin/sh\n"),
        ]);
        let check = host_ids(&taken);
        assert_eq!(check.finding, Finding::Missing);
        assert!(
            check.seen.contains("me:") && check.seen.contains("passwd: big"),
            "{}",
            check.seen
        );
    }

    #[test]
    fn overlay_may_be_a_module() {
        let (_root, none) = machine(&[("/proc/filesystems", "nodev\ttmpfs\n")]);
        assert_eq!(overlay(&none).finding, Finding::Missing);
        let (_root, listed) = machine(&[("/proc/filesystems", "nodev\toverlay\n")]);
        assert_eq!(overlay(&listed).finding, Finding::Found);
        let (_root, module) = machine(&[
            ("/proc/sys/kernel/osrelease", "6.1.0\n"),
            (
                "/lib/modules/6.1.0/modules.dep",
                "kernel/fs/overlayfs/overlay.ko: \n",
            ),
        ]);
        assert_eq!(overlay(&module).finding, Finding::Found);
    }
}
