//! Who may do what.

use super::{Check, Machine};

/// The capabilities that the native driver uses on the host, by their number in
/// `linux/capability.h`.
const CAPABILITIES: [(u32, &str, &str); 8] = [
    (21, "CAP_SYS_ADMIN", "mounts, namespaces"),
    (12, "CAP_NET_ADMIN", "links, addresses, firewall"),
    (6, "CAP_SETGID", "id ranges"),
    (7, "CAP_SETUID", "id ranges"),
    (0, "CAP_CHOWN", "files of sandboxes"),
    (1, "CAP_DAC_OVERRIDE", "files of sandboxes"),
    (3, "CAP_FOWNER", "files of sandboxes"),
    (5, "CAP_KILL", "ending sandboxes"),
];

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    const NAME: &str = "user";
    const WHY: &str = "root can hold sandboxes to every limit; others to what was given to them";
    match user(machine) {
        None => vec![
            Check::found(NAME, WHY, "runs as root"),
            capabilities(machine),
        ],
        Some(uid) => {
            let seen = format!("runs as user {uid}, see docs/rootless.md");
            vec![Check::found(NAME, WHY, seen)]
        }
    }
}

/// The effective user unless it is root.
pub(super) fn user(machine: &Machine) -> Option<u32> {
    // Uid: real, effective, saved, file system
    let ids = machine.field("/proc/self/status", "Uid")?;
    let effective = ids.split_whitespace().nth(1)?.parse().ok()?;
    (effective != 0).then_some(effective)
}

fn capabilities(machine: &Machine) -> Check {
    const NAME: &str = "capabilities";
    const WHY: &str = "root without them (as in a plain container) cannot make a sandbox";
    let mask = machine.field("/proc/self/status", "CapEff");
    let mask = mask
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .unwrap_or(0);
    let lacking = CAPABILITIES
        .iter()
        .filter(|(number, _, _)| mask & (1 << number) == 0);
    let lacking: Vec<_> = lacking
        .map(|(_, name, what)| format!("{name} ({what})"))
        .collect();
    if lacking.is_empty() {
        return Check::found(NAME, WHY, "all that are needed");
    }
    Check::missing(
        NAME,
        WHY,
        format!("lacks {}", lacking.join(", ")),
        "run on the host itself, or start the container with --privileged",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    fn machine(status: &str) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        std::fs::write(root.path().join("proc/self/status"), status).unwrap();
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn root_with_everything_is_found() {
        let (_root, machine) = machine("Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
        assert!(
            checks(&machine)
                .iter()
                .all(|check| check.finding == Finding::Found)
        );
    }

    #[test]
    fn a_user_and_a_plain_container_are_told_apart() {
        let (_root, user) = machine("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0\n");
        assert!(checks(&user)[0].seen.starts_with("runs as user 1000"));
        // The default set of container engines.
        let (_root, container) = machine("Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n");
        assert_eq!(checks(&container)[0].finding, Finding::Found);
        assert!(capabilities(&container).seen.contains("CAP_SYS_ADMIN"));
    }
}
