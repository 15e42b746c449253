//! The process that makes sandboxes.

use crate::value::Accept;
use std::time::Duration;

section! {
    /// The process that makes sandboxes for the engine.
    "spawner" Spawner {
        /// How long it may take to say that it is there.
        start_timeout: Duration = |_| Duration::from_secs(10), Accept::between(
            Duration::from_millis(100),
            Duration::from_secs(300),
        );
        /// How long one create may take, until the agent inside says that it is ready.
        create_timeout: Duration = |_| Duration::from_secs(10), Accept::between(
            Duration::from_millis(100),
            Duration::from_secs(300),
        );
        /// How long what a template runs from the start may take to be ready in a new sandbox.
        ready_timeout: Duration = |_| Duration::from_secs(30), Accept::between(
            Duration::from_millis(100),
            Duration::from_secs(600),
        );
        /// How long an engine that stops waits for the end of its sandboxes; what is left then is
        /// reclaimed by the next one.
        destroy_timeout: Duration = |_| Duration::from_secs(30), Accept::between(
            Duration::from_millis(100),
            Duration::from_secs(300),
        );
        /// How long the processes of a sandbox that is being paused may take to stand still; then
        /// they go on. One that waits for a device may take as long as the device does.
        pause_timeout: Duration = |_| Duration::from_secs(5), Accept::between(
            Duration::from_millis(10),
            Duration::from_secs(60),
        );
        /// The most sandboxes that are created at the same time; others wait in order.
        concurrency: u32 = |_| 32, Accept::between(1, 1024);
    }
}
