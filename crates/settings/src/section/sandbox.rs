//! What a sandbox gets that asks for nothing.

use crate::cpu::Cpu;
use crate::value::Accept;
use soulbox_model::{ByteSize, Limits, NetworkMode};
use std::time::Duration;

section! {
    /// What a sandbox gets that asks for nothing. `soulbox run` has a flag for each.
    "sandbox" Sandbox {
        /// Processor time in CPUs; `0.5` is half of one.
        cpu: Cpu = |_| Cpu::from_millis(2000), Accept::between(
            Cpu::from_millis(Limits::CPU_MILLIS.0),
            Cpu::from_millis(Limits::CPU_MILLIS.1),
        );
        /// Memory. There is no swap; files in `/tmp` and everything else that is written while the
        /// root is kept in memory count too.
        memory: ByteSize = |_| ByteSize::mib(1024), Accept::between(Limits::MEMORY.0, Limits::MEMORY.1);
        /// Processes and threads.
        pids: u32 = |_| 1024, Accept::between(Limits::PIDS.0, Limits::PIDS.1);
        /// What may be written to the sandbox's own file system.
        disk: ByteSize = |_| ByteSize::gib(10), Accept::between(Limits::DISK.0, Limits::DISK.1);
        /// How long a run may take, from the moment its program starts.
        timeout: Duration = |_| Duration::from_secs(300), Accept::between(
            Duration::from_millis(1),
            Duration::from_secs(30 * 24 * 3600),
        );
        /// The most that a run may print, for each of stdout and stderr, where the output is kept
        /// for the reply (`--json`) rather than passed on at once.
        output: ByteSize = |_| ByteSize::mib(8), Accept::between(ByteSize(0), ByteSize::gib(1));
        /// What a run reaches: nothing, or public addresses less the fixed block list.
        network: NetworkMode = |_| NetworkMode::None, Accept::such("none, internet", |_| true);
    }
}

impl Sandbox {
    /// The limits as the engine takes them.
    pub const fn limits(&self) -> Limits {
        Limits {
            cpu_millis: self.cpu.millis,
            memory: self.memory,
            pids: self.pids,
            disk: self.disk,
        }
    }
}
