//! What is prepared ahead of time.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// What an engine that stays prepares ahead of time, in the background. An empty pool is
    /// slower, never an error. `soulbox run`, which makes one sandbox, prepares nothing.
    "pool" Pool {
        /// Slots that wait: a network namespace and cgroups each. One costs about 0.2 MB of memory
        /// and saves 0.4 to 1.0 ms.
        slots: u32 = |_| 32, Accept::between(0, 4095);
        /// Sandboxes that are made up to the point where their limits are not yet known.
        prepared: u32 = |_| 0, Accept::between(0, 4095);
        /// Complete sandboxes of the default template and limits that wait to be handed out. One
        /// costs about 0.6 MB. A server that is told nothing keeps 8.
        parked: u32 = |_| 0, Accept::between(0, 4095);
        /// Whether complete sandboxes of whatever clients ask for are kept ready as well, as many as come
        /// while others are made and as came at once lately.
        adaptive: bool = |_| true, Accept::any();
        /// The memory that those may take beyond `parked`, counted with 1 MiB for one alone, 3 MiB for one with
        /// a copy of a Python, 6 MiB for one of a Python with packages and 16 MiB for one with a Node.js. Teams whose sandboxes are asked for
        /// have equal parts of it, and in them kinds of sandboxes.
        memory: ByteSize = |_| ByteSize::mib(128), Accept::between(ByteSize::mib(0), ByteSize::gib(1024));
        /// How long after the last one was asked for they are kept.
        keep: Duration = |_| Duration::from_secs(900), Accept::between(
            Duration::from_secs(1),
            Duration::from_secs(7 * 24 * 3600),
        );
        /// How long nobody must have waited for a sandbox before pools are refilled: refilling
        /// takes a processor, and the process that makes sandboxes, from those who wait. A pool
        /// that lacks something waits twenty times as long at most.
        rest: Duration = |_| Duration::from_millis(5), Accept::between(
            Duration::ZERO,
            Duration::from_secs(10),
        );
    }
}
