//! Room and rights where files are kept.

use super::{Check, Machine};
use soulbox_model::ByteSize;
use soulbox_node::lease;
use soulbox_settings::Settings;
use std::path::Path;

/// What the template `base` needs while it is built.
const ROOM: u64 = 3 << 30;

/// Below this many free bytes of memory not even a few sandboxes fit.
const MEMORY: u64 = 256 << 20;

pub(super) fn checks(machine: &Machine, settings: &Settings) -> Vec<Check> {
    vec![
        directory(
            machine,
            "data directory",
            &settings.paths.data_dir,
            "data_dir",
        ),
        directory(machine, "run directory", &settings.paths.run_dir, "run_dir"),
        room(machine, settings),
        memory(machine),
        slots(machine, settings),
    ]
}

fn directory(machine: &Machine, name: &'static str, path: &Path, setting: &str) -> Check {
    const WHY: &str = "templates, locks and sockets are kept there";
    let mend = |reason: &str| format!("{reason}, or choose another directory (setting {setting})");
    let Some((existing, about)) = machine.file_system(path) else {
        return Check::missing(
            name,
            WHY,
            format!("{} is unknown", path.display()),
            mend("check it"),
        );
    };
    let shown = path.display();
    if about.read_only || !machine.may_write(&existing) {
        let seen = format!("{} cannot be written", existing.display());
        return Check::missing(name, WHY, seen, mend("run as root"));
    }
    let holds_programs = setting == "data_dir";
    if holds_programs && (about.no_exec || about.no_dev) {
        let flag = if about.no_exec { "noexec" } else { "nodev" };
        return Check::wanting(
            name,
            "programs of templates other than host are started from there, and Linux carries the flag into sandboxes",
            format!("{shown} is on a file system mounted {flag}"),
            mend("mount it without that flag"),
        );
    }
    Check::found(name, WHY, shown.to_string())
}

fn slots(machine: &Machine, settings: &Settings) -> Check {
    const NAME: &str = "slots";
    const WHY: &str =
        "each sandbox takes one, and it is used again only when nothing is left in it";
    let table = settings.paths.machine_dir.join("slots");
    let held = lease::read(&machine.bytes(&table).unwrap_or_default());
    let used = held.len();
    let forsaken = held.iter().filter(|record| !record.holder.lives()).count();
    if forsaken == 0 {
        return Check::found(NAME, WHY, format!("{used} of {} in use", lease::SLOTS - 1));
    }
    let seen = format!("{forsaken} of {used} in use hold what dead engines left");
    let mend =
        "soulbox run -c 'print(1)': each start tries to clear them and tells what it cannot remove";
    Check::wanting(NAME, WHY, seen, mend)
}

fn room(machine: &Machine, settings: &Settings) -> Check {
    const NAME: &str = "disk space";
    const WHY: &str = "the template base takes about 1 GiB, and twice that while it is built";
    let path = &settings.paths.data_dir;
    let Some((_, about)) = machine.file_system(path) else {
        return Check::wanting(NAME, WHY, "unknown", "check the data directory");
    };
    let seen = format!("{} MiB free in {}", about.free >> 20, path.display());
    if about.free >= ROOM {
        return Check::found(NAME, WHY, seen);
    }
    let mend = format!("free {} of disk space", ByteSize(ROOM));
    Check::wanting(NAME, WHY, seen, mend)
}

fn memory(machine: &Machine) -> Check {
    const NAME: &str = "memory";
    const WHY: &str = "sandboxes keep in memory what they write";
    let text = machine.field("/proc/meminfo", "MemAvailable");
    let kib = text.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    match kib.map(|kib| kib << 10) {
        Some(free) if free >= MEMORY => Check::found(NAME, WHY, format!("{} MiB free", free >> 20)),
        Some(free) => Check::wanting(
            NAME,
            WHY,
            format!("{} MiB free", free >> 20),
            "end programs that are not needed",
        ),
        None => Check::wanting(NAME, WHY, "unknown", "mount /proc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn a_directory_that_can_be_made_is_found() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let check = directory(
            &machine,
            "data directory",
            Path::new("/var/lib/soulbox"),
            "run_dir",
        );
        assert_eq!(check.finding, Finding::Found, "{check:?}");
    }

    #[test]
    fn little_memory_is_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(
            root.path().join("proc/meminfo"),
            "MemAvailable:    1024 kB\n",
        )
        .unwrap();
        let check = memory(&Machine::at(root.path()));
        assert_eq!(
            (check.finding, check.seen.as_str()),
            (Finding::Wanting, "1 MiB free")
        );
    }
}
