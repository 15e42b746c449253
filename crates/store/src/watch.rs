//! Being told of changes.

use crate::entry::{Entry, Revision};
use futures_util::Stream;
use futures_util::StreamExt;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why there are no more changes to be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Changes after the one asked for, or the last one told, are no longer known.
    #[error(
        "changes after revision {after} are no longer kept: read the range again, then watch from its revision"
    )]
    Lost {
        /// The last revision of which all is known.
        after: Revision,
    },
    /// A revision was asked for that the store has not reached: it is another store, or an older
    /// state of it was put back.
    #[error(
        "revision {after} has not been reached (the store is at {now}): read the range again, then watch from its revision"
    )]
    Ahead {
        /// What was asked for.
        after: Revision,
        /// Where the store is.
        now: Revision,
    },
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A value was put.
    Put(Arc<Entry>),
    /// It was removed, by whom ever or with its lease.
    Removed(Arc<str>),
}

impl Change {
    /// The key it happened to.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Removed(key) => key,
        }
    }
}

/// What one transaction changed, of what is watched; at least one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The state of the store that it made.
    pub revision: Revision,
    /// What changed, by key.
    pub changes: Vec<Change>,
}

/// Changes in the order of their revisions, each once, none left out, each on disk before it is told.
/// After an error there is nothing more.
pub struct Watch {
    batches: Pin<Box<dyn Stream<Item = Result<Batch, WatchError>> + Send>>,
}

impl Watch {
    /// A watch that tells these; they must end after an error.
    pub fn new(batches: impl Stream<Item = Result<Batch, WatchError>> + Send + 'static) -> Self {
        Self {
            batches: Box::pin(batches),
        }
    }

    /// Waits for the next changes. May be dropped and asked again: nothing is missed by that.
    pub async fn next(&mut self) -> Result<Batch, WatchError> {
        let next = self.batches.next().await;
        next.unwrap_or(Err(WatchError::Closed))
    }
}

impl Stream for Watch {
    type Item = Result<Batch, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
