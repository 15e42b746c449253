//! What every store can do.

use crate::entry::{Entry, LeaseId, Revision};
use crate::key::{KeyError, Span};
use crate::range::{Page, Range};
use crate::transaction::{Outcome, Transaction, TransactionError};
use crate::watch::{Watch, WatchError};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A key cannot be one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A transaction cannot be one.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A transaction would remove more than [`crate::bounds::REMOVED`] entries.
    #[error("the transaction removes more than {max} entries: remove them in several", max = crate::bounds::REMOVED)]
    Removes,
    /// A lease's time is too short or too long.
    #[error("a lease of {0:?} cannot be granted: 1 second to a year")]
    Time(Duration),
    /// There is no such lease: it has ended, or never was.
    #[error("there is no lease {0}: it has ended; ask for a new one")]
    NoLease(LeaseId),
    /// The disk is full. Nothing was changed; reading and ends still work.
    #[error(
        "the disk of the store is full: make room on it; what removes or ends something still works"
    )]
    Full,
    /// Reading or writing failed. Nothing was changed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A commit failed so that nobody knows what of it is on disk, so nothing is written any more.
    #[error(
        "the store takes no more writes, for one failed on its way to the disk ({0}): look at the disk, then start again"
    )]
    Broken(String),
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
}

/// Values under keys, changed by transactions. One order of changes for all who use it; what was
/// acknowledged is on disk.
///
/// A call whose future is dropped may have happened or not, as with any answer that is lost; one
/// that must happen once compares first.
pub trait StateStore: Send + Sync + 'static {
    /// What is under a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// A page of entries, all of one state of the store.
    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// If all comparisons hold does one thing, else another. Answers when it is on disk; waits while
    /// too many others do.
    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// Tells every change of keys in `span` after a revision, such as that of a page; after now if
    /// there is none.
    fn watch(
        &self,
        span: Span,
        after: Option<Revision>,
    ) -> BoxFuture<'_, Result<Watch, WatchError>>;

    /// Makes a lease that ends after `time` unless it is kept alive. It survives the store's own
    /// restart, and then has its whole time again.
    fn grant(&self, time: Duration) -> BoxFuture<'_, Result<LeaseId, StoreError>>;

    /// Gives a lease its whole time again, from now on.
    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a lease now; its keys vanish.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), StoreError>>;
}
