//! Changing: if all comparisons hold do this, else that, at once or not at all.

use crate::bounds;
use crate::entry::{Entry, LeaseId, Revision};
use crate::key::{self, KeyError, Span};
use bytes::Bytes;

/// Why a transaction was refused before it was tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A key cannot be one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value is too large.
    #[error("the value of {key:?} has {bytes} bytes: at most {max} are taken", max = bounds::VALUE)]
    Value {
        /// Its key.
        key: String,
        /// Its bytes.
        bytes: usize,
    },
    /// All of it together is too large.
    #[error("a transaction of {0} bytes is too large: at most {max} are taken; split it", max = bounds::TRANSACTION)]
    Bytes(usize),
    /// It has too many parts.
    #[error("a transaction has {0} operations or comparisons: at most {max} are taken; split it", max = bounds::OPERATIONS)]
    Operations(usize),
    /// A key is put twice, or put and removed, on the same side.
    #[error("the transaction changes the key {0:?} twice; keep the last change only")]
    Twice(String),
}

/// What must be true of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// Nothing is there.
    Absent(String),
    /// Something is there.
    Exists(String),
    /// What is there was last put by this revision: nobody has changed it since.
    Unchanged(String, Revision),
    /// This value is there.
    Value(String, Bytes),
}

impl Compare {
    /// The key that is looked at.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Exists(key) => key,
            Self::Unchanged(key, _) | Self::Value(key, _) => key,
        }
    }

    /// Whether it is true of what was found there.
    #[must_use]
    pub fn holds(&self, found: Option<&Entry>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Exists(_) => found.is_some(),
            Self::Unchanged(_, revision) => found.is_some_and(|entry| entry.modified == *revision),
            Self::Value(_, value) => found.is_some_and(|entry| entry.value == *value),
        }
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Puts a value, whether something is there or not.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Bytes,
        /// The lease that it vanishes with; none takes it off the one that it had.
        lease: Option<LeaseId>,
    },
    /// Removes what is there, if anything.
    Delete(String),
    /// Removes all that is there, at most [`bounds::REMOVED`] entries in a transaction.
    DeleteRange(Span),
}

impl Operation {
    /// Puts a value that stays.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease: None,
        }
    }

    /// Puts a value that vanishes with a lease.
    pub fn put_with_lease(key: impl Into<String>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease: Some(lease),
        }
    }

    /// Removes what is there.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete(key.into())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete(key) => key.len(),
            Self::DeleteRange(_) => 0,
        }
    }

    fn check(&self) -> Result<(), TransactionError> {
        match self {
            Self::Put { key, value, .. } if value.len() > bounds::VALUE => {
                key::check(key)?;
                Err(TransactionError::Value {
                    key: key.clone(),
                    bytes: value.len(),
                })
            }
            Self::Put { key, .. } | Self::Delete(key) => Ok(key::check(key)?),
            Self::DeleteRange(span) => Ok(span.check()?),
        }
    }
}

/// If all comparisons hold `then` is done, else `otherwise`; nothing of it is seen before all of it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// What must be true; nothing is always true.
    pub compares: Vec<Compare>,
    /// What is done if it is.
    pub then: Vec<Operation>,
    /// What is done if it is not.
    pub otherwise: Vec<Operation>,
    /// It brings something to its end (a kill, an expiry, its cause) and may take of the room that
    /// is kept for such when the disk is full. One that only removes always may.
    pub ends: bool,
}

impl Transaction {
    /// A transaction that does this, whatever is there.
    #[must_use]
    pub fn doing(then: Vec<Operation>) -> Self {
        Self {
            then,
            ..Self::default()
        }
    }

    /// Does it only if this is true as well.
    #[must_use]
    pub fn only_if(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Else does this.
    #[must_use]
    pub fn or_else(mut self, otherwise: Vec<Operation>) -> Self {
        self.otherwise = otherwise;
        self
    }

    /// It brings something to its end, so it may take of the room that is kept for that.
    #[must_use]
    pub fn ending(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Whether it may be tried. Every store asks this first.
    pub fn check(&self) -> Result<(), TransactionError> {
        for parts in [self.compares.len(), self.then.len(), self.otherwise.len()] {
            if parts > bounds::OPERATIONS {
                return Err(TransactionError::Operations(parts));
            }
        }
        for compare in &self.compares {
            key::check(compare.key())?;
        }
        for operation in self.then.iter().chain(&self.otherwise) {
            operation.check()?;
        }
        let bytes = self.bytes();
        if bytes > bounds::TRANSACTION {
            return Err(TransactionError::Bytes(bytes));
        }
        once(&self.then)?;
        once(&self.otherwise)
    }

    /// The bytes of all its keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let compared = self.compares.iter().map(|compare| match compare {
            Compare::Value(key, value) => key.len() + value.len(),
            other => other.key().len(),
        });
        let done = self.then.iter().chain(&self.otherwise);
        compared.chain(done.map(Operation::bytes)).sum()
    }

    /// Whether it may take of the room that is kept for ends.
    #[must_use]
    pub fn may_use_reserve(&self) -> bool {
        let puts = |operation: &Operation| matches!(operation, Operation::Put { .. });
        self.ends || !self.then.iter().chain(&self.otherwise).any(puts)
    }
}

/// Fails if a key that is put is put or removed once more; then the order of a side does not matter.
fn once(side: &[Operation]) -> Result<(), TransactionError> {
    for (at, operation) in side.iter().enumerate() {
        let Operation::Put { key, .. } = operation else {
            continue;
        };
        let meets = |(other, operation): (usize, &Operation)| {
            other != at
                && match operation {
                    Operation::Put { key: also, .. } | Operation::Delete(also) => also == key,
                    Operation::DeleteRange(span) => span.contains(key),
                }
        };
        if side.iter().enumerate().any(meets) {
            return Err(TransactionError::Twice(key.clone()));
        }
    }
    Ok(())
}

/// What became of a transaction. It is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All comparisons held, `then` is done.
    Committed {
        /// The state of the store with it.
        revision: Revision,
    },
    /// One did not, `otherwise` is done.
    Failed {
        /// The state of the store with it.
        revision: Revision,
        /// The comparisons that did not hold, by their place in the transaction, each with what was
        /// found before `otherwise`.
        found: Vec<(usize, Option<Entry>)>,
    },
}

impl Outcome {
    /// The revision, if all comparisons held.
    #[must_use]
    pub fn committed(&self) -> Option<Revision> {
        match self {
            Self::Committed { revision } => Some(*revision),
            Self::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_changed_once() {
        let twice = [
            vec![Operation::put("a", "1"), Operation::put("a", "2")],
            vec![Operation::put("a", "1"), Operation::delete("a")],
            vec![
                Operation::DeleteRange(Span::prefix("a")),
                Operation::put("ab", "1"),
            ],
        ];
        for side in twice {
            let one = Transaction::doing(side.clone()).check();
            assert!(matches!(one, Err(TransactionError::Twice(_))), "{one:?}");
            let other = Transaction::default().or_else(side).check();
            assert!(matches!(other, Err(TransactionError::Twice(_))));
        }
        let both = Transaction::doing(vec![Operation::put("a", "1")])
            .or_else(vec![Operation::put("a", "2")]);
        assert_eq!(both.check(), Ok(()));
    }

    #[test]
    fn sizes_are_bounded() {
        let value = |bytes| Transaction::doing(vec![Operation::put("k", vec![0; bytes])]);
        assert_eq!(value(bounds::VALUE).check(), Ok(()));
        assert!(matches!(
            value(bounds::VALUE + 1).check(),
            Err(TransactionError::Value { .. })
        ));
        let puts = |count: usize, bytes| {
            let put = |n| Operation::put(format!("k{n}"), vec![0; bytes]);
            Transaction::doing((0..count).map(put).collect())
        };
        assert_eq!(puts(bounds::OPERATIONS, 1).check(), Ok(()));
        assert!(matches!(
            puts(bounds::OPERATIONS + 1, 1).check(),
            Err(TransactionError::Operations(_))
        ));
        assert!(matches!(
            puts(3, bounds::VALUE).check(),
            Err(TransactionError::Bytes(_))
        ));
    }

    #[test]
    fn what_only_removes_may_use_the_reserve() {
        assert!(Transaction::doing(vec![Operation::delete("a")]).may_use_reserve());
        let put = Transaction::doing(vec![Operation::put("a", "")]);
        assert!(!put.may_use_reserve());
        assert!(put.ending().may_use_reserve());
    }
}
