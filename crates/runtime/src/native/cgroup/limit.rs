//! The limits of one sandbox, as each controller takes them.

use super::{Controller, Part};
use crate::native::step::StepError;
use soulbox_wire::spawner::CgroupLimits;

/// The length of a scheduling period in microseconds: Linux's own default
/// (Documentation/scheduler/sched-bwc.rst).
pub(super) const CPU_PERIOD_US: u64 = 100_000;

/// The part of a sandbox's memory that v1 lets its TCP connections hold besides, one in so many. v1
/// counts what is on its way over TCP by itself, and only where it has a limit; without one a sandbox
/// could fill connections to itself with all that the machine has for TCP. v2 counts it as memory.
pub(super) const TCP_PART: u64 = 4;

/// The file of that limit.
pub(super) const TCP_FILE: &str = "memory.kmem.tcp.limit_in_bytes";

/// The share that Linux gives by itself, on cgroup v2's scale.
const USUAL_WEIGHT: u32 = 100;

/// A v2 weight as v1's shares, where 1024 is usual and 2 the least.
pub(super) const fn shares(weight: u32) -> u64 {
    let shares = weight as u64 * 1024 / USUAL_WEIGHT as u64;
    if shares < 2 { 2 } else { shares }
}

/// The quota of a period in microseconds; Linux takes none below a millisecond.
pub(super) fn quota(cpu_millis: u32) -> u64 {
    (u64::from(cpu_millis) * CPU_PERIOD_US / 1000).max(1000)
}

/// Whether there is something among `limits` that a new group does not have by itself, beyond
/// what every sandbox is given.
pub(super) fn are_special(limits: &CgroupLimits) -> bool {
    limits.cpu_weight != USUAL_WEIGHT || reserved(limits) > 0 || !limits.io.is_empty()
}

/// The memory that is reserved, 0 where that is all there is.
fn reserved(limits: &CgroupLimits) -> u64 {
    if limits.memory_reserved < limits.memory {
        limits.memory_reserved
    } else {
        0
    }
}

impl Part {
    /// Sets what `controller` limits; what is not usual only when `special`.
    pub(super) fn limit(
        &self,
        controller: Controller,
        limits: &CgroupLimits,
        special: bool,
    ) -> Result<(), StepError> {
        match controller {
            Controller::Memory => self.limit_memory(limits, special),
            Controller::Cpu => self.limit_cpu(limits, special),
            Controller::Pids => self.write("pids.max", &limits.pids.to_string()),
            Controller::Io => self.limit_io(limits),
        }
    }

    fn limit_memory(&self, limits: &CgroupLimits, special: bool) -> Result<(), StepError> {
        let memory = limits.memory.to_string();
        let reserved = reserved(limits);
        if self.hierarchy().v2 {
            self.write("memory.max", &memory)?;
            self.write_if_there("memory.swap.max", "0")?;
            if special {
                // What is reserved is taken only when nobody else has anything left to take. The
                // other way round, `memory.high`, would slow a sandbox down while memory is free.
                self.write("memory.low", &reserved.to_string())?;
            }
            return Ok(());
        }
        // The limit with swap may never be the lower one, so the order depends on whether the
        // limit rises or falls.
        if self.write("memory.limit_in_bytes", &memory).is_err() {
            self.write_if_there("memory.memsw.limit_in_bytes", &memory)?;
            self.write("memory.limit_in_bytes", &memory)?;
        } else {
            self.write_if_there("memory.memsw.limit_in_bytes", &memory)?;
        }
        self.write_if_there(TCP_FILE, &(limits.memory / TCP_PART).to_string())?;
        if special {
            let soft = if reserved > 0 {
                reserved.to_string()
            } else {
                "-1".to_owned()
            };
            self.write("memory.soft_limit_in_bytes", &soft)?;
        }
        Ok(())
    }

    fn limit_cpu(&self, limits: &CgroupLimits, special: bool) -> Result<(), StepError> {
        let quota = quota(limits.cpu_millis);
        if self.hierarchy().v2 {
            self.write("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
            if special {
                self.write("cpu.weight", &limits.cpu_weight.to_string())?;
            }
            return Ok(());
        }
        self.write("cpu.cfs_quota_us", &quota.to_string())?;
        if special {
            self.write("cpu.shares", &shares(limits.cpu_weight).to_string())?;
        }
        Ok(())
    }

    fn limit_io(&self, limits: &CgroupLimits) -> Result<(), StepError> {
        for limit in &limits.io {
            let device = &limit.device;
            if self.hierarchy().v2 {
                let words = [limit.read, limit.write].map(|rate| match rate {
                    0 => "max".to_owned(),
                    rate => rate.to_string(),
                });
                let [read, write] = words;
                self.write("io.max", &format!("{device} rbps={read} wbps={write}"))?;
            } else {
                // Here 0 takes a limit away.
                let files = [("read", limit.read), ("write", limit.write)];
                for (way, rate) in files {
                    let file = format!("blkio.throttle.{way}_bps_device");
                    self.write(&file, &format!("{device} {rate}"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: CgroupLimits = CgroupLimits {
        cpu_millis: 1000,
        cpu_weight: 100,
        memory: 1 << 30,
        memory_reserved: 1 << 30,
        pids: 10,
        io: Vec::new(),
    };

    #[test]
    fn weights_and_quotas_become_what_linux_takes() {
        assert_eq!([1, 50, 100, 10_000].map(shares), [10, 512, 1024, 102_400]);
        assert_eq!([1, 10, 500, 2000].map(quota), [1000, 1000, 50_000, 200_000]);
    }

    #[test]
    fn what_few_have_is_noticed() {
        assert!(!are_special(&PLAIN));
        let burst = CgroupLimits {
            memory_reserved: 1 << 29,
            ..PLAIN
        };
        assert!(are_special(&burst));
        assert!(are_special(&CgroupLimits {
            cpu_weight: 1,
            ..PLAIN
        }));
    }
}
