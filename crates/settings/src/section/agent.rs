//! What the host accepts from the agent inside a sandbox.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

/// The shortest and the longest time that may be set.
const TIMES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(600));

section! {
    /// What the host accepts from the agent inside a sandbox, which may have been taken over by
    /// the code that runs there.
    "agent" Agent {
        /// How long a connection may take. Accepting one takes an agent microseconds.
        connect_timeout: Duration = |_| Duration::from_secs(5), Accept::between(TIMES.0, TIMES.1);
        /// From a request to the head of its answer.
        head_timeout: Duration = |_| Duration::from_secs(30), Accept::between(TIMES.0, TIMES.1);
        /// From the head of an answer to the end of a short one.
        answer_timeout: Duration = |_| Duration::from_secs(30), Accept::between(TIMES.0, TIMES.1);
        /// How long a file that is copied in or out may stand still.
        idle_timeout: Duration = |_| Duration::from_secs(60), Accept::between(TIMES.0, TIMES.1);
        /// The longest short answer.
        answer: ByteSize = |_| ByteSize::mib(1), Accept::between(ByteSize::kib(64), ByteSize::gib(1));
        /// The longest listing of a directory; 64 MiB are about 200,000 entries.
        listing: ByteSize = |_| ByteSize::mib(64), Accept::between(ByteSize::kib(64), ByteSize::gib(1));
        /// The longest event of a command. The agent sends output in pieces of 32 KiB, which are
        /// 44 KiB in base64.
        event: ByteSize = |_| ByteSize::kib(256), Accept::between(ByteSize::kib(64), ByteSize::mib(64));
    }
}
