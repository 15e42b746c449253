//! The machine that was measured.

use serde::Serialize;
use std::fmt;
use std::fs;

/// What a figure must be read with.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    linux: String,
    cgroups: &'static str,
}

impl Machine {
    /// This machine.
    pub(super) fn this() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |path, key: &str| {
            let text = text(path);
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib = memory
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            linux: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            cgroups: crate::doctor::cgroup_layout(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            memory_mib,
            linux,
            cgroups,
        } = self;
        write!(
            f,
            "{cores} x {cpu}, {memory_mib} MiB, Linux {linux}, cgroups {cgroups}"
        )
    }
}

/// How busy the machine was in the last 1, 5 and 15 minutes.
pub(super) fn load() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map(|word| word.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}
