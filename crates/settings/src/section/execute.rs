//! How a piece of code is run.

use crate::value::Accept;
use soulbox_model::{ByteSize, TemplateName};
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
        /// The template of code that is sent to a server and names none; where it is not there, `base`.
        template: String = |_| "code-interpreter-v1".to_owned(), Accept::such(
            "a template's name",
            |text: &String| text.parse::<TemplateName>().is_ok(),
        );
        /// The longest body of a request that brings code to a server, its files included.
        request: ByteSize = |_| ByteSize::mib(32), Accept::between(ByteSize::kib(4), ByteSize::gib(1));
        /// How many pieces of code a server runs at once, each in a sandbox of its own.
        at_once: u32 = |_| 64, Accept::between(1, 4095);
        /// How many wait for their turn; whoever comes then is told to come again.
        queue: u32 = |_| 4096, Accept::between(0, 100_000);
        /// How long one waits for its turn.
        queue_wait: Duration = |_| Duration::from_secs(60), Accept::between(
            Duration::from_millis(1),
            Duration::from_secs(600),
        );
        /// The most files that one answer holds.
        return_files: u32 = |_| 100, Accept::between(0, 10_000);
        /// The most bytes of files that one answer holds.
        returns: ByteSize = |_| ByteSize::mib(16), Accept::between(ByteSize(0), ByteSize::gib(1));
        /// The most pieces of code in one batch.
        batch: u32 = |_| 100, Accept::between(1, 10_000);
        /// How many of one batch are run at once.
        batch_at_once: u32 = |_| 8, Accept::between(1, 4095);
        /// The most output that the answer to a batch holds; each of its pieces of code gets an equal share.
        batch_output: ByteSize = |_| ByteSize::mib(64), Accept::between(ByteSize::kib(4), ByteSize::gib(1));
        /// The longest answer that is kept for a request that is repeated with its `Idempotency-Key`.
        answer: ByteSize = |_| ByteSize::kib(256), Accept::between(ByteSize(0), ByteSize::mib(16));
        /// How much of what compilers made a server keeps of each team, on disk; what was used longest ago goes first.
        /// 0: nothing is kept, and every run compiles.
        builds: ByteSize = |_| ByteSize::gib(1), Accept::between(ByteSize(0), ByteSize::gib(1024));
        /// How much of it, of all teams, is kept in memory too.
        builds_memory: ByteSize = |_| ByteSize::mib(32), Accept::between(ByteSize(0), ByteSize::gib(64));
        /// The largest build that is kept.
        build: ByteSize = |_| ByteSize::mib(64), Accept::between(ByteSize::kib(4), ByteSize::gib(1));
        /// Whether code that does not say which limits it wants is given less memory and processors where runs like it
        /// needed less.
        adaptive: bool = |_| false, Accept::any();
        /// How many runs of one kind there must be before anything is proposed for the next one.
        adaptive_runs: u32 = |_| 5, Accept::between(2, 32);
        /// The least memory that is proposed.
        adaptive_memory: ByteSize = |_| ByteSize::mib(32), Accept::between(ByteSize::mib(16), ByteSize::gib(1));
        /// Of how many kinds of runs a server keeps for each team what they used; those used longest ago go first.
        adaptive_kinds: u32 = |_| 500, Accept::between(1, 1000);
        /// How long after a time limit the program's own children may print before what is left
        /// is thrown away.
        drain: Duration = |_| Duration::from_millis(200), Accept::between(
            Duration::ZERO,
            Duration::from_secs(60),
        );
    }
}
