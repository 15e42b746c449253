//! How a piece of code is run.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// How a piece of code is run in a sandbox.
    "execute" Execute {
        /// The largest piece of code that is accepted.
        code: ByteSize = |_| ByteSize::mib(64), Accept::between(ByteSize::kib(1), ByteSize::gib(1));
        /// The largest file that is copied into or out of a sandbox.
        file: ByteSize = |_| ByteSize::gib(2), Accept::between(ByteSize::kib(1), ByteSize::gib(64));
        /// The most files that are copied when a directory is run.
        files: u32 = |_| 20_000, Accept::between(1, 1_000_000);
        /// How long after a time limit the program's own children may print before what is left
        /// is thrown away.
        drain: Duration = |_| Duration::from_millis(200), Accept::between(
            Duration::ZERO,
            Duration::from_secs(60),
        );
    }
}
