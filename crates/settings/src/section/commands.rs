//! Commands through the server's own interface, and requests that are repeated.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// Recorded commands, and requests with an `Idempotency-Key`.
    "commands" Commands {
        /// How much is kept of each output of a command: its first bytes. What is beyond is counted
        /// only. While the command runs it is memory of the sandbox.
        output: ByteSize = |_| ByteSize::mib(8), Accept::between(ByteSize::kib(4), ByteSize::gib(1));
        /// How many commands that ended are kept for each sandbox; the oldest are forgotten, with
        /// their output.
        kept: u32 = |_| 1000, Accept::between(1, 100_000);
        /// How much output of commands that ended is kept on disk for each sandbox; the oldest are
        /// forgotten.
        kept_output: ByteSize = |_| ByteSize::mib(256), Accept::between(ByteSize::kib(4), ByteSize::gib(1024));
        /// How much is kept for each sandbox of its log of commands that were started and ended; the oldest
        /// lines are forgotten.
        log: ByteSize = |_| ByteSize::kib(512), Accept::between(ByteSize::kib(4), ByteSize::mib(64));
        /// How many commands may run in a sandbox at once.
        running: u32 = |_| 512, Accept::between(1, 1024);
        /// How long a request with an `Idempotency-Key` gives the first result again.
        idempotency: Duration = |_| Duration::from_secs(24 * 3600), Accept::between(Duration::from_secs(60), Duration::from_secs(30 * 24 * 3600));
        /// How many such keys are kept for each team; beyond that, requests that bring new ones
        /// are refused.
        idempotency_keys: u32 = |_| 100_000, Accept::between(1, 10_000_000);
    }
}
