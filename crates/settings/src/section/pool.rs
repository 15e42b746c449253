//! What is prepared ahead of time.

use crate::value::Accept;
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
        /// How long nobody must have waited for a sandbox before pools are refilled: refilling
        /// takes a processor, and the process that makes sandboxes, from those who wait. A pool
        /// that lacks something waits twenty times as long at most.
        rest: Duration = |_| Duration::from_millis(5), Accept::between(
            Duration::ZERO,
            Duration::from_secs(10),
        );
    }
}
