//! What a sandbox may use.

use crate::size::ByteSize;
use serde::{Deserialize, Serialize};

/// What a sandbox may use. The defaults are in `settings`; the ranges are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time, in thousandths of one CPU: 2000 is two CPUs.
    pub cpu_millis: u32,
    /// Its share of the processors when sandboxes compete for them: twice as much gets twice as
    /// much. 100 is usual.
    pub cpu_weight: u32,
    /// Memory that it can count on, page cache of its own files included; there is no swap.
    pub memory: ByteSize,
    /// The most memory that it gets while others leave some; at least [`Self::memory`].
    pub memory_max: ByteSize,
    /// Processes and threads.
    pub pids: u32,
    /// The most files that one process may have open.
    pub open_files: u32,
    /// Bytes per second that are read from the disk of the host; 0: no limit.
    pub io_read: ByteSize,
    /// Bytes per second that are written to the disk of the host; 0: no limit.
    pub io_write: ByteSize,
    /// What may be written to the sandbox's own file system.
    pub disk: ByteSize,
}

/// A limit outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{limit} {value} is out of range: it must be between {min} and {max}")]
pub struct LimitError {
    /// Which limit, by the name of its flag.
    pub limit: &'static str,
    /// What was asked for.
    pub value: String,
    /// The least that is accepted.
    pub min: String,
    /// The most that is accepted.
    pub max: String,
}

impl Limits {
    /// Processor range: a hundredth of a CPU (the finest quota that cgroups take, 1 ms in
    /// 100 ms) to 1024 CPUs.
    pub const CPU_MILLIS: (u32, u32) = (10, 1_024_000);
    /// Memory range: below 16 MiB not even the agent and a shell fit with their page tables.
    pub const MEMORY: (ByteSize, ByteSize) = (ByteSize::mib(16), ByteSize::gib(16 * 1024));
    /// Process range: the agent, a shell and one child at the least; Linux's `PID_MAX_LIMIT`.
    pub const PIDS: (u32, u32) = (4, 4_194_304);
    /// Range of shares: cgroup v2's own (Documentation/admin-guide/cgroup-v2.rst, `cpu.weight`).
    pub const CPU_WEIGHT: (u32, u32) = (1, 10_000);
    /// Open files: what an interpreter needs at its start; Linux's own bound of what may be set
    /// (`fs.nr_open`).
    pub const OPEN_FILES: (u32, u32) = (64, 1_048_576);
    /// Disk bandwidth where it is limited: below 64 KiB/s starting a program takes minutes.
    pub const IO: (ByteSize, ByteSize) = (ByteSize::kib(64), ByteSize::gib(1024));
    /// Disk range.
    pub const DISK: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(64 * 1024));

    /// These limits, and of the others what is usual: an even share of the processors, no more
    /// memory than is promised, disks as fast as they are.
    pub const fn usual(cpu_millis: u32, memory: ByteSize, pids: u32, disk: ByteSize) -> Self {
        Self {
            cpu_millis,
            cpu_weight: 100,
            memory,
            memory_max: memory,
            pids,
            open_files: 524_288,
            io_read: ByteSize(0),
            io_write: ByteSize(0),
            disk,
        }
    }

    /// Checks each limit against its range.
    ///
    /// # Errors
    /// [`LimitError`] names the first limit that is out of range.
    pub fn check(&self) -> Result<(), LimitError> {
        fn range<T: PartialOrd + Copy>(
            limit: &'static str,
            value: T,
            (min, max): (T, T),
            show: impl Fn(T) -> String,
        ) -> Result<(), LimitError> {
            if value < min || value > max {
                return Err(LimitError {
                    limit,
                    value: show(value),
                    min: show(min),
                    max: show(max),
                });
            }
            Ok(())
        }
        range("cpu", self.cpu_millis, Self::CPU_MILLIS, |m| {
            format!("{}", f64::from(m) / 1000.0)
        })?;
        range("cpu weight", self.cpu_weight, Self::CPU_WEIGHT, |n| {
            n.to_string()
        })?;
        range("memory", self.memory, Self::MEMORY, |s| s.to_string())?;
        let burst = (self.memory, Self::MEMORY.1);
        range("memory max", self.memory_max, burst, |s| s.to_string())?;
        range("pids", self.pids, Self::PIDS, |n| n.to_string())?;
        range("open files", self.open_files, Self::OPEN_FILES, |n| {
            n.to_string()
        })?;
        for (limit, value) in [("io read", self.io_read), ("io write", self.io_write)] {
            if value.bytes() > 0 {
                range(limit, value, Self::IO, |s| s.to_string())?;
            }
        }
        range("disk", self.disk, Self::DISK, |s| s.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Limits = Limits::usual(2000, ByteSize::mib(1024), 1024, ByteSize::gib(10));

    #[test]
    fn every_limit_is_held_to_its_range() {
        assert_eq!(GOOD.check(), Ok(()));
        for (bad, name) in [
            (
                Limits {
                    cpu_millis: 9,
                    ..GOOD
                },
                "cpu",
            ),
            (
                Limits {
                    memory: ByteSize::mib(15),
                    ..GOOD
                },
                "memory",
            ),
            (Limits { pids: 0, ..GOOD }, "pids"),
            (
                Limits {
                    memory_max: ByteSize::mib(1023),
                    ..GOOD
                },
                "memory max",
            ),
            (
                Limits {
                    cpu_weight: 0,
                    ..GOOD
                },
                "cpu weight",
            ),
            (
                Limits {
                    open_files: 3,
                    ..GOOD
                },
                "open files",
            ),
            (
                Limits {
                    io_write: ByteSize(1),
                    ..GOOD
                },
                "io write",
            ),
            (
                Limits {
                    disk: ByteSize(0),
                    ..GOOD
                },
                "disk",
            ),
        ] {
            assert_eq!(bad.check().map_err(|e| e.limit), Err(name));
        }
    }
}
