//! What is found under a key, and the numbers that order it.

use bytes::Bytes;
use std::fmt;

/// The number of a state of the whole store. Every transaction that changes anything makes the next
/// one; it never goes back and is never given twice. 0 is the empty store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease: keys attached to it vanish when it ends. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value with its key and its history in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// What was put there.
    pub value: Bytes,
    /// The revision that made it, after it was last absent.
    pub created: Revision,
    /// The revision that put this value.
    pub modified: Revision,
    /// How often it was put since it was made: 1 or more.
    pub version: u64,
    /// The lease it vanishes with.
    pub lease: Option<LeaseId>,
}
