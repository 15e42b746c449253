//! Templates that clients of a server build.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// Templates that clients of a server build.
    "template" Template {
        /// How many builds run at once; others wait.
        builds: u32 = |_| 2, Accept::between(1, 100);
        /// How many builds of one team wait or run; whoever asks for more is told to come again.
        queue: u32 = |_| 20, Accept::between(1, 1000);
        /// How many templates a team may have.
        most: u32 = |_| 100, Accept::between(1, 10_000);
        /// How many builds of a template that no tag leads to are kept, so that one can go back to them. Those
        /// that failed are kept as records only.
        keep_builds: u32 = |_| 5, Accept::between(0, 100);
        /// How long one step of a build may take.
        step_timeout: Duration = |_| Duration::from_secs(1800), Accept::between(
            Duration::from_secs(1),
            Duration::from_secs(24 * 3600),
        );
        /// The most that is kept of what a build tells.
        log: ByteSize = |_| ByteSize::mib(4), Accept::between(ByteSize::kib(16), ByteSize::gib(1));
        /// The largest archive of files that a build copies in.
        upload: ByteSize = |_| ByteSize::gib(2), Accept::between(ByteSize::kib(1), ByteSize::gib(64));
        /// How much a team's archives take on disk together; what was used longest ago goes first.
        uploads: ByteSize = |_| ByteSize::gib(10), Accept::between(ByteSize::mib(1), ByteSize::gib(1024));
        /// How long an archive is kept that no build uses.
        keep_uploads: Duration = |_| Duration::from_secs(7 * 24 * 3600), Accept::between(
            Duration::from_secs(60),
            Duration::from_secs(365 * 24 * 3600),
        );
        /// The most memory that a template may give its sandboxes.
        max_memory: ByteSize = |_| ByteSize::gib(8), Accept::between(ByteSize::mib(128), ByteSize::gib(1024));
        /// The most processors that a template may give its sandboxes.
        max_cpus: u32 = |_| 8, Accept::between(1, 256);
    }
}
