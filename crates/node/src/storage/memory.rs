//! Writable layers in memory, counted as the sandbox's.

use super::{Gauge, Layer};
use soulbox_model::Limits;
use soulbox_wire::spawner;

/// One file or directory for this many bytes: small files dominate in package trees, and 16 KiB is
/// below their usual mean. Project quotas have the same.
const BYTES_PER_INODE: u64 = 16 * 1024;

/// The fewest files and directories that a layer may hold.
const INODES: u64 = 1024;

/// The most that a layer in memory may hold, in bytes: so much less than the memory that writing
/// alone cannot use that up, and a full disk is told as such.
pub fn most(limits: &Limits) -> u64 {
    limits.memory.bytes() / 4 * 3
}

/// The most files and directories of a layer of `size` bytes.
pub fn inodes(size: u64) -> u64 {
    (size / BYTES_PER_INODE).max(INODES)
}

/// A layer as large as was asked for, or as memory allows.
pub fn layer(limits: &Limits) -> Layer {
    let size = limits.disk.bytes().min(most(limits));
    Layer {
        wire: spawner::Storage::Memory {
            size,
            inodes: inodes(size),
        },
        gauge: Gauge::FileSystem,
        mark: None,
        undo: None,
    }
}
