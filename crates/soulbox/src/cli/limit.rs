//! The flags that say what a sandbox may use: each is a setting of the section `sandbox`.

use clap::Args;
use soulbox_settings::Flag;

/// What the sandbox may use. Each flag is the setting `sandbox.<name>`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Processor time in CPUs, such as 2 or 0.5 [default: 2]
    #[arg(long, value_name = "CPUS")]
    cpu: Option<String>,
    /// Its share of busy processors; twice as much gets twice as much [default: 100]
    #[arg(long, value_name = "NUMBER")]
    cpu_weight: Option<String>,
    /// Memory, such as 512M or 2G [default: 1G]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// The most memory while others leave some [default: what --memory says]
    #[arg(long, value_name = "SIZE")]
    memory_max: Option<String>,
    /// Processes and threads [default: 1024]
    #[arg(long, value_name = "COUNT")]
    pids: Option<String>,
    /// The most open files of one process [default: 524288]
    #[arg(long, value_name = "COUNT")]
    open_files: Option<String>,
    /// The most that is read from disks in a second, such as 50M [default: no limit]
    #[arg(long, value_name = "SIZE")]
    io_read: Option<String>,
    /// The most that is written to disks in a second [default: no limit]
    #[arg(long, value_name = "SIZE")]
    io_write: Option<String>,
    /// What may be written to the file system; more than three quarters of the memory takes a
    /// storage on disk [default: 10G]
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// Refuse to run where nothing holds the sandbox to one of these limits
    #[arg(long)]
    require_limits: bool,
    /// What is reached: nothing, or public addresses [default: none]
    #[arg(long, value_name = "MODE", value_parser = ["none", "internet"])]
    network: Option<String>,
}

impl LimitFlags {
    /// Whether the size of the file system was given.
    pub(crate) fn asks_for_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The first flag that was given.
    pub(crate) fn first(&self) -> Option<&'static str> {
        self.flags().first().map(|flag| flag.flag)
    }

    /// The flags that were given, as settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let all = [
            ("sandbox.cpu", "--cpu", &self.cpu),
            ("sandbox.cpu_weight", "--cpu-weight", &self.cpu_weight),
            ("sandbox.memory", "--memory", &self.memory),
            ("sandbox.memory_max", "--memory-max", &self.memory_max),
            ("sandbox.pids", "--pids", &self.pids),
            ("sandbox.open_files", "--open-files", &self.open_files),
            ("sandbox.io_read", "--io-read", &self.io_read),
            ("sandbox.io_write", "--io-write", &self.io_write),
            ("sandbox.disk", "--disk", &self.disk),
            ("sandbox.network", "--network", &self.network),
        ];
        let given = |(key, flag, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { key, flag, value })
        };
        let required = self.require_limits.then(|| Flag {
            key: "sandbox.require_limits",
            flag: "--require-limits",
            value: "true".to_owned(),
        });
        all.into_iter().filter_map(given).chain(required).collect()
    }
}
