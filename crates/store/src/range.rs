//! Reading several entries.

use crate::bounds;
use crate::entry::{Entry, Revision};
use crate::key::Span;

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The smallest key first.
    #[default]
    Ascending,
    /// The largest key first.
    Descending,
}

/// Which entries to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Where they lie.
    pub span: Span,
    /// Only those that come after this key, in the order asked for: the last key of the page before.
    pub after: Option<String>,
    /// At most so many; [`bounds::PAGE`] at the most.
    pub limit: usize,
    /// In which order.
    pub order: Order,
}

impl Range {
    /// The first page of a span, ascending.
    #[must_use]
    pub fn of(span: Span) -> Self {
        Self {
            span,
            after: None,
            limit: bounds::PAGE,
            order: Order::Ascending,
        }
    }

    /// The first page of what begins with `prefix`, ascending.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::of(Span::prefix(prefix))
    }

    /// At most `limit` entries.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// What comes after `key`.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// The largest key first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }
}

/// What was read: one state of the store, never a mixture of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order asked for.
    pub entries: Vec<Entry>,
    /// The state of the store that they are of. Watch from here to miss nothing.
    pub revision: Revision,
    /// Whether there are more: ask again after the last key. A page may end before its limit, by
    /// its bytes.
    pub more: bool,
}
