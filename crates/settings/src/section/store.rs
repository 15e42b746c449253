//! What the server must not forget.

use crate::value::Accept;
use soulbox_model::ByteSize;

section! {
    /// The store of a server: the records of sandboxes, keys and commands.
    "store" Store {
        /// Transactions that may wait for the disk; whoever brings one more waits to bring it.
        queue: u32 = |_| 256, Accept::between(1, 65_536);
        /// Room inside the store's file that only ends may take (kills, expiry, causes of death),
        /// so that they still work when the disk is full. It is taken from the disk at the first start.
        reserve: ByteSize = |_| ByteSize::mib(8), Accept::between(ByteSize::mib(1), ByteSize::gib(1));
        /// Changes that are kept in memory for those who watch; who falls further behind is told to
        /// read everything again. Their values count, too: at most 16 MiB.
        history: u32 = |_| 4096, Accept::between(16, 1_048_576);
    }
}
