//! What sandboxes write, on disk.

use crate::backend::Backend;
use crate::value::Accept;
use soulbox_model::ByteSize;

section! {
    /// Where sandboxes' writes are kept, and how much room there is for all of them.
    "storage" Storage {
        /// `memory`: counted as the sandbox's memory. `btrfs`: a subvolume for each sandbox, on the
        /// data directory's own file system if that is btrfs, else in a file that is made there.
        /// `project-quota`: ext4 or XFS with project quotas. `auto`: memory where the disk that was
        /// asked for fits in three quarters of the sandbox's memory, else the first of
        /// project-quota and btrfs that works here; for `soulbox run` and `soulbox shell` memory,
        /// unless `--disk` asks for more.
        backend: Backend = |_| Backend::Auto, Accept::such("auto, memory, btrfs, project-quota", |_| true);
        /// The room for all sandboxes together. The file of `btrfs` takes that much of the host's
        /// disk as soon as it is made, so that a full host cannot break it; a larger size makes it
        /// grow at the next start, a smaller one changes nothing. 0: a quarter of what is free when
        /// it is made, at most 64 GiB.
        size: ByteSize = |_| ByteSize(0), Accept::such("0, or 512 MiB to 64 TiB", |size: &ByteSize| {
            size.bytes() == 0 || (ByteSize::mib(512)..=ByteSize::gib(64 * 1024)).contains(size)
        });
        /// A create is refused while less room than this is left for all sandboxes together.
        reserve: ByteSize = |_| ByteSize::mib(128), Accept::between(ByteSize(0), ByteSize::gib(1024));
    }
}
