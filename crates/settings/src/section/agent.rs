//! What the host accepts from the agent inside a sandbox.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::time::Duration;

section! {
    /// What the host accepts from the agent inside a sandbox, which may have been taken over by
    /// the code that runs there.
    "agent" Agent {
        /// How long a connection to the agent's socket may take.
        connect_timeout: Duration = |_| Duration::from_secs(2), Accept::between(
            Duration::from_millis(10),
            Duration::from_secs(60),
        );
        /// How long one answer may take that is not a stream.
        request_timeout: Duration = |_| Duration::from_secs(30), Accept::between(
            Duration::from_millis(10),
            Duration::from_secs(600),
        );
        /// How long a started command may take to report its process id.
        start_timeout: Duration = |_| Duration::from_secs(10), Accept::between(
            Duration::from_millis(10),
            Duration::from_secs(600),
        );
        /// How long a file transfer may stand still.
        idle_timeout: Duration = |_| Duration::from_secs(60), Accept::between(
            Duration::from_millis(10),
            Duration::from_secs(600),
        );
        /// The longest message in a stream. The agent sends output in pieces of 32 KiB.
        message: ByteSize = |_| ByteSize::mib(1), Accept::between(ByteSize::kib(64), ByteSize::mib(64));
        /// The longest answer that is not a stream or a file, such as a directory listing.
        answer: ByteSize = |_| ByteSize::mib(16), Accept::between(ByteSize::kib(64), ByteSize::gib(1));
        /// The longest head of an HTTP answer.
        head: ByteSize = |_| ByteSize::kib(64), Accept::between(ByteSize::kib(8), ByteSize::mib(1));
    }
}
