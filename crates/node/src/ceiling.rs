//! What all sandboxes of the machine may use together, and who may still come.

use crate::lease::SLOTS;
use soulbox_model::{ByteSize, Limits};
use soulbox_settings::section::Node as Reserve;
use soulbox_wire::spawner::Ceiling;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much memory one sandbox is counted with where no number of sandboxes was set: an idle one
/// takes about 0.6 MiB, one with an interpreter 8 to 12.
const MEMORY_EACH: u64 = 8 * 1024 * 1024;

/// A sandbox that finds no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// As much memory is promised as may be.
    #[error(
        "{promised} of memory are promised to sandboxes, and {asked} more would be over the \
         {most} that may be (setting node.promised_memory)"
    )]
    Promised {
        /// What is promised.
        promised: ByteSize,
        /// What was asked for.
        asked: ByteSize,
        /// The most that may be.
        most: ByteSize,
    },
}

/// The machine, as far as it bounds sandboxes.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Its memory in bytes; 0: not known.
    pub memory: u64,
    /// Its processors.
    pub cpus: u32,
    /// How many processes and threads Linux can number; 0: not known.
    pub pids: u64,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let meminfo = text("/proc/meminfo");
        let memory = meminfo.lines().find_map(|line| {
            let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
            kib.trim().parse::<u64>().ok()
        });
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory: memory.unwrap_or(0).saturating_mul(1024),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            pids: text("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(0),
        }
    }

    /// What sandboxes may use together.
    pub fn ceiling(&self, reserve: &Reserve) -> Ceiling {
        let rest = |all: u64, kept: u64| all - kept.min(all / 4);
        let cpu_millis = match reserve.reserve_cpu.millis {
            0 => 0,
            kept => self.cpus.saturating_mul(1000).saturating_sub(kept).max(100),
        };
        Ceiling {
            memory: rest(self.memory, reserve.reserve_memory.bytes()),
            pids: rest(self.pids, u64::from(reserve.reserve_pids)),
            cpu_millis,
            cpu_weight: reserve.cpu_weight,
        }
    }

    /// How many sandboxes there may be.
    pub fn most_sandboxes(&self, reserve: &Reserve) -> u32 {
        let slots = SLOTS - 1;
        if reserve.max_sandboxes > 0 {
            return reserve.max_sandboxes.min(slots);
        }
        match self.ceiling(reserve).memory / MEMORY_EACH {
            0 => slots,
            count => u32::try_from(count).map_or(slots, |count| count.min(slots)),
        }
    }
}

/// Makes Linux choose another process than this one, and the spawner that inherits it, when the
/// machine's memory runs out. Only who has `CAP_SYS_RESOURCE` may.
pub(crate) fn spare_engine() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
}

/// Memory that is promised to sandboxes.
#[derive(Debug)]
pub struct Promises {
    most: u64,
    promised: Arc<AtomicU64>,
}

/// A promise that is kept. Dropping it takes it back.
#[derive(Debug)]
pub struct Promise {
    memory: u64,
    promised: Arc<AtomicU64>,
}

impl Promises {
    /// At most `most` to all; 0 for any number.
    pub fn new(most: ByteSize) -> Self {
        Self {
            most: most.bytes(),
            promised: Arc::default(),
        }
    }

    /// Promises the memory of `limits`.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn make(&self, limits: &Limits) -> Result<Promise, AdmissionError> {
        let memory = limits.memory.bytes();
        let add = |promised: u64| {
            let sum = promised.saturating_add(memory);
            (self.most == 0 || sum <= self.most).then_some(sum)
        };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        match self.promised.fetch_update(order.0, order.1, add) {
            Ok(_) => Ok(Promise {
                memory,
                promised: Arc::clone(&self.promised),
            }),
            Err(promised) => Err(AdmissionError::Promised {
                promised: ByteSize(promised),
                asked: limits.memory,
                most: ByteSize(self.most),
            }),
        }
    }
}

impl Promises {
    /// Counts the memory of a sandbox that runs, whatever is promised by now.
    pub(crate) fn keep(&self, limits: &Limits) -> Promise {
        let memory = limits.memory.bytes();
        self.promised.fetch_add(memory, Ordering::AcqRel);
        Promise {
            memory,
            promised: Arc::clone(&self.promised),
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.memory, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_settings::Settings;

    const GIB: u64 = 1 << 30;

    fn reserve(overrides: &[(&'static str, &str)]) -> Reserve {
        Settings::with(overrides).unwrap().node
    }

    fn machine(memory: u64) -> Machine {
        Machine {
            memory,
            cpus: 4,
            pids: 32_768,
        }
    }

    #[test]
    fn the_machine_keeps_its_reserve_and_a_small_one_most_of_its_memory() {
        let usual = reserve(&[]);
        let ceiling = machine(16 * GIB).ceiling(&usual);
        assert_eq!((ceiling.memory, ceiling.pids), (15 * GIB, 28_672));
        assert_eq!((ceiling.cpu_millis, ceiling.cpu_weight), (0, 100));
        assert_eq!(machine(GIB).ceiling(&usual).memory, GIB / 4 * 3);
        let kept = reserve(&[("node.reserve_cpu", "0.5")]);
        assert_eq!(machine(GIB).ceiling(&kept).cpu_millis, 3500);
    }

    #[test]
    fn the_number_of_sandboxes_follows_the_memory() {
        let usual = reserve(&[]);
        assert_eq!(machine(16 * GIB).most_sandboxes(&usual), 1920);
        assert_eq!(machine(GIB).most_sandboxes(&usual), 96);
        assert_eq!(machine(1 << 40).most_sandboxes(&usual), SLOTS - 1);
        let set = reserve(&[("node.max_sandboxes", "7")]);
        assert_eq!(machine(GIB).most_sandboxes(&set), 7);
    }

    #[test]
    fn no_more_is_promised_than_may_be() {
        let limits = Limits::usual(1000, ByteSize::gib(1), 10, ByteSize::gib(1));
        let promises = Promises::new(ByteSize::gib(2));
        let kept = [
            promises.make(&limits).unwrap(),
            promises.make(&limits).unwrap(),
        ];
        let refused = promises.make(&limits).unwrap_err();
        assert!(matches!(refused, AdmissionError::Promised { .. }));
        drop(kept);
        assert!(promises.make(&limits).is_ok());
        let open = Promises::new(ByteSize(0));
        assert!((0..100).all(|_| open.make(&limits).is_ok()));
    }
}
