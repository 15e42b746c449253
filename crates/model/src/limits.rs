//! What a sandbox may use.

use crate::size::ByteSize;
use serde::{Deserialize, Serialize};

/// What a sandbox may use. The defaults are in `settings`; the ranges are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time, in thousandths of one CPU: 2000 is two CPUs.
    pub cpu_millis: u32,
    /// Memory, page cache of its own files included; there is no swap.
    pub memory: ByteSize,
    /// Processes and threads.
    pub pids: u32,
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
    /// Disk range.
    pub const DISK: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(64 * 1024));

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
        range("memory", self.memory, Self::MEMORY, |s| s.to_string())?;
        range("pids", self.pids, Self::PIDS, |n| n.to_string())?;
        range("disk", self.disk, Self::DISK, |s| s.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Limits = Limits {
        cpu_millis: 2000,
        memory: ByteSize::mib(1024),
        pids: 1024,
        disk: ByteSize::gib(10),
    };

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
