//! Interpreters that are loaded ahead of time.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// Zygotes: for each team and template, an interpreter that has the template's packages imported
    /// and is copied into sandboxes, so that none of them waits for that. Servers of root have them.
    "zygote" Zygote {
        /// Whether there are any.
        enabled: bool = |_| true, Accept::any();
        /// How many there are at once, the least used ones making room. One takes 10 MB of memory
        /// without packages and 100 MB with those of data science, and a slot of the machine.
        most: u32 = |_| 8, Accept::between(1, 1024);
        /// How many copies one makes until another takes its place. All copies of one have the same
        /// layout of memory and the same hash seed.
        copies: u32 = |_| 5000, Accept::between(1, u32::MAX);
        /// How long importing may take.
        start_timeout: Duration = |_| Duration::from_secs(30), Accept::between(
            Duration::from_secs(1),
            Duration::from_secs(600),
        );
        /// What one, with the copies that are just being made, may use.
        memory: ByteSize = |_| ByteSize::gib(1), Accept::between(
            ByteSize::mib(64),
            ByteSize::gib(64),
        );
    }
}
