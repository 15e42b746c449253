//! How large anything in a store may be. Each is at most what etcd takes by default, so that what
//! fits into a file fits into a cluster.

/// Bytes of a key. Ids have at most 64 letters, and a key has a handful of parts.
pub const KEY: usize = 1024;

/// Bytes of a value.
pub const VALUE: usize = 512 * 1024;

/// Operations on each side of a transaction, and comparisons. etcd: 128.
pub const OPERATIONS: usize = 128;

/// Bytes of all keys and values of a transaction. etcd takes requests of 1.5 MiB.
pub const TRANSACTION: usize = 1024 * 1024;

/// Entries of a page.
pub const PAGE: usize = 1000;

/// Bytes of the values of a page; it ends early, but never before its first entry.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Entries that one transaction may remove by ranges; more are removed in several.
pub const REMOVED: usize = 10_000;

/// The shortest and the longest time of a lease, in seconds.
pub const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 1..=365 * 24 * 3600;

/// Bytes of keys and values that are kept for those who watch.
pub const HISTORY_BYTES: usize = 16 * 1024 * 1024;

/// Transactions that share one commit.
pub(crate) const GROUP: usize = 128;

/// Bytes of transactions that share one commit, but for the last one's.
pub(crate) const GROUP_BYTES: usize = 1024 * 1024;
