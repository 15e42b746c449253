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
        /// Its share of the processors when sandboxes compete for them: twice as much gets twice
        /// as much.
        cpu_weight: u32 = |_| 100, Accept::between(Limits::CPU_WEIGHT.0, Limits::CPU_WEIGHT.1);
        /// Memory that it can count on. There is no swap; files in `/tmp` and everything else that
        /// is written while the root is kept in memory count too.
        memory: ByteSize = |_| ByteSize::mib(1024), Accept::between(Limits::MEMORY.0, Limits::MEMORY.1);
        /// The most memory that it gets while others leave some; 0: no more than `memory`. What
        /// it has beyond `memory` is the first that Linux takes back when the machine runs short.
        memory_max: ByteSize = |_| ByteSize(0), Accept::such(
            "0, or at least what `memory` says",
            |size: &ByteSize| *size == ByteSize(0) || (Limits::MEMORY.0..=Limits::MEMORY.1).contains(size),
        );
        /// Processes and threads.
        pids: u32 = |_| 1024, Accept::between(Limits::PIDS.0, Limits::PIDS.1);
        /// The most files that one process may have open.
        open_files: u32 = |_| 524_288, Accept::between(Limits::OPEN_FILES.0, Limits::OPEN_FILES.1);
        /// The most that is read from the host's disks in a second; 0: no limit.
        io_read: ByteSize = |_| ByteSize(0), bandwidth();
        /// The most that is written to the host's disks in a second; 0: no limit. On cgroup v1
        /// Linux holds only unbuffered writes to it.
        io_write: ByteSize = |_| ByteSize(0), bandwidth();
        /// What may be written to the sandbox's own file system.
        disk: ByteSize = |_| ByteSize::gib(10), Accept::between(Limits::DISK.0, Limits::DISK.1);
        /// Whether an engine refuses to start where nothing holds sandboxes to one of these limits:
        /// on a host that lacks a cgroup controller, or for a user to whom none is delegated.
        require_limits: bool = |_| false, Accept::any();
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

fn bandwidth() -> Accept<ByteSize> {
    let (least, most) = Limits::IO;
    Accept::such(
        &format!("0, or {least} to {most}"),
        move |size: &ByteSize| *size == ByteSize(0) || (least..=most).contains(size),
    )
}

impl Sandbox {
    /// The limits as the engine takes them.
    pub const fn limits(&self) -> Limits {
        let memory_max = match self.memory_max {
            ByteSize(0) => self.memory,
            given => given,
        };
        Limits {
            cpu_millis: self.cpu.millis,
            cpu_weight: self.cpu_weight,
            memory: self.memory,
            memory_max,
            pids: self.pids,
            open_files: self.open_files,
            io_read: self.io_read,
            io_write: self.io_write,
            disk: self.disk,
        }
    }
}
