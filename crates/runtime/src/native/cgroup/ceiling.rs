//! The limits of the group above all sandboxes: what they leave to the machine.

use super::Controller;
use super::limit::{CPU_PERIOD_US, TCP_FILE, TCP_PART, quota, shares};
use super::write_file;
use crate::native::step::{Step, StepError};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use soulbox_wire::spawner::Ceiling;

/// Sets what `controller` limits of all sandboxes together.
///
/// # Errors
/// The file that could not be written.
pub(super) fn set(
    group: BorrowedFd<'_>,
    v2: bool,
    controller: Controller,
    ceiling: &Ceiling,
) -> Result<(), StepError> {
    for (file, value) in files(v2, controller, ceiling) {
        match write_file(group, file, value.as_bytes()) {
            // More is in use than an engine with other settings allowed: what is new is refused,
            // what runs goes on. Or the group is delegated and its limits are somebody else's.
            Ok(()) | Err(Errno::BUSY | Errno::ACCESS | Errno::PERM | Errno::NOENT) => {}
            Err(errno) => {
                return Err(errno).step(|| format!("write {value} to {file} of all sandboxes"));
            }
        }
    }
    Ok(())
}

fn files(v2: bool, controller: Controller, ceiling: &Ceiling) -> Vec<(&'static str, String)> {
    let bound = |value: u64, none: &str| match value {
        0 => none.to_owned(),
        value => value.to_string(),
    };
    let quota = match ceiling.cpu_millis {
        0 => 0,
        millis => quota(millis),
    };
    match (controller, v2) {
        (Controller::Memory, true) => vec![("memory.max", bound(ceiling.memory, "max"))],
        (Controller::Memory, false) => vec![
            ("memory.limit_in_bytes", bound(ceiling.memory, "-1")),
            // Also what sandboxes' own limits would otherwise do again and again: it has Linux
            // change its own code for counting, as long as any group counts.
            (TCP_FILE, bound(ceiling.memory / TCP_PART, "-1")),
        ],
        (Controller::Pids, _) => vec![("pids.max", bound(ceiling.pids, "max"))],
        (Controller::Cpu, true) => vec![
            ("cpu.weight", ceiling.cpu_weight.to_string()),
            (
                "cpu.max",
                format!("{} {CPU_PERIOD_US}", bound(quota, "max")),
            ),
        ],
        (Controller::Cpu, false) => vec![
            ("cpu.shares", shares(ceiling.cpu_weight).to_string()),
            ("cpu.cfs_quota_us", bound(quota, "-1")),
        ],
        (Controller::Io, _) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_limited_without_a_number() {
        let open = Ceiling {
            memory: 0,
            pids: 0,
            cpu_millis: 0,
            cpu_weight: 100,
        };
        let none = |v2| {
            let all = Controller::ALL.into_iter();
            all.flat_map(|controller| files(v2, controller, &open))
                .map(|(file, value)| format!("{file}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            none(true),
            "memory.max=max cpu.weight=100 cpu.max=max 100000 pids.max=max"
        );
        assert_eq!(
            none(false),
            "memory.limit_in_bytes=-1 memory.kmem.tcp.limit_in_bytes=-1 cpu.shares=1024 cpu.cfs_quota_us=-1 pids.max=max"
        );
    }

    #[test]
    fn a_reserve_becomes_a_quota() {
        let ceiling = Ceiling {
            memory: 1 << 30,
            pids: 100,
            cpu_millis: 1500,
            cpu_weight: 50,
        };
        assert_eq!(files(true, Controller::Cpu, &ceiling)[1].1, "150000 100000");
        assert_eq!(
            files(false, Controller::Memory, &ceiling)[0].1,
            "1073741824"
        );
    }
}
