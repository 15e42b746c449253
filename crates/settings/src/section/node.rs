//! What all sandboxes of the machine together leave to it.

use crate::cpu::Cpu;
use crate::value::Accept;
use soulbox_model::{ByteSize, Limits};

section! {
    /// What all sandboxes of the machine together leave to it, so that the engine, the operator's
    /// shell and whatever else runs there always answer. All engines of a machine share one group
    /// of sandboxes, whose limits are those of the engine that started last.
    "node" Node {
        /// Memory that sandboxes together never get. On a machine with little memory a quarter of
        /// it at most.
        reserve_memory: ByteSize = |_| ByteSize::gib(1), Accept::between(ByteSize(0), Limits::MEMORY.1);
        /// Processor time that sandboxes together never get, in CPUs; 0: the machine's own
        /// programs come before by `cpu_weight` alone. A reserve stops all sandboxes at once for
        /// some milliseconds of each tenth of a second in which they use the rest up.
        reserve_cpu: Cpu = |_| Cpu::from_millis(0), Accept::between(
            Cpu::from_millis(0),
            Cpu::from_millis(Limits::CPU_MILLIS.1),
        );
        /// Processes and threads that sandboxes together never get, of those that Linux can number
        /// (`kernel.pid_max`). A quarter of them at most.
        reserve_pids: u32 = |_| 4096, Accept::between(0, Limits::PIDS.1);
        /// The share of all sandboxes together when the machine is busy; a group of the machine's
        /// own programs has 100 by default.
        cpu_weight: u32 = |_| 100, Accept::between(Limits::CPU_WEIGHT.0, Limits::CPU_WEIGHT.1);
        /// Whether sandboxes that use more than one processor for a while on a machine that has no
        /// more to give are held to all processors but one while others want some. A group of
        /// busy processes on all processors makes others wait for many turns of Linux's scheduler;
        /// one that leaves a processor alone does not. Where Linux assigns processors to groups
        /// (`cpuset`); an ordinary user's engine cannot.
        hold_hogs: bool = |_| true, Accept::any();
        /// The most sandboxes on the machine, those included that are kept ready; 0: one for each
        /// 8 MiB of the memory that is not reserved, and 4095 at most.
        max_sandboxes: u32 = |_| 0, Accept::between(0, 4095);
        /// The most memory that may be promised to the sandboxes of one engine, as the sum of what
        /// each can count on (`sandbox.memory`); 0: not counted.
        promised_memory: ByteSize = |_| ByteSize(0), Accept::between(ByteSize(0), Limits::MEMORY.1);
    }
}
