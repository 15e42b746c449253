//! What the processes of a group use and have used.

use super::{Controller, Group, Part};
use soulbox_wire::spawner::{Metrics, Usage};

impl Group {
    /// What the processes in it have used. `cpu_us` is 0 where no cgroup counts it; there the
    /// spawner takes it from the accounts of PID 1.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            cpu_us: self.cpu_us().unwrap_or(0),
            ..Usage::default()
        };
        if let Some(part) = self.part(Controller::Memory) {
            let (events, peak) = if part.hierarchy().v2 {
                ("memory.events", "memory.peak")
            } else {
                ("memory.oom_control", "memory.max_usage_in_bytes")
            };
            usage.oom_kills = part.field(events, "oom_kill").unwrap_or(0);
            usage.peak_memory = part.number(peak).unwrap_or(0);
        }
        usage
    }

    /// What the processes in it use now.
    pub fn metrics(&self) -> Metrics {
        let memory = self.part(Controller::Memory);
        let cache = memory.and_then(|part| {
            // What lies in files in memory cannot be taken back, though Linux counts it there.
            let all = part.field(
                "memory.stat",
                if part.hierarchy().v2 { "file" } else { "cache" },
            )?;
            let kept = part.field("memory.stat", "shmem").unwrap_or(0);
            Some(all.saturating_sub(kept))
        });
        let now = memory.and_then(|part| {
            part.number(match part.hierarchy().v2 {
                true => "memory.current",
                false => "memory.usage_in_bytes",
            })
        });
        let pids = self.part(Controller::Pids);
        Metrics {
            cpu_us: self.cpu_us(),
            memory: now,
            cache,
            pids: pids.and_then(|part| part.number("pids.current")),
        }
    }

    /// Processor time so far.
    fn cpu_us(&self) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.hierarchy().counts)?;
        match part.hierarchy().v2 {
            true => part.field("cpu.stat", "usage_usec"),
            false => Some(part.number("cpuacct.usage")? / 1000),
        }
    }

    fn part(&self, controller: Controller) -> Option<&Part> {
        self.parts
            .iter()
            .find(|part| part.hierarchy().controllers.contains(&controller))
    }
}

impl Part {
    /// The number that a file holds.
    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }
}
