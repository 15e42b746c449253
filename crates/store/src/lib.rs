//! What the product must not forget: values under keys, changed by transactions, in an order that
//! everybody agrees on.
//!
//! The store does not know what a value means. It has the shape of etcd, so that one machine
//! ([`SqliteStore`]) and several look the same from above.
//!
//! | What | File |
//! |---|---|
//! | what every store can do | [`store`] |
//! | names of values, and several of them | [`key`] |
//! | what is found under a key | [`entry`] |
//! | reading several | [`range`] |
//! | changing: compare, then do | [`transaction`] |
//! | being told of changes | [`watch`] |
//! | how large anything may be | [`bounds`] |
//! | time, which tests hold in their hands | [`clock`] |
//! | one machine: a file | [`sqlite`] |
//! | the suite that every store must pass | `conformance` |

pub mod bounds;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod entry;
pub mod key;
pub mod range;
pub mod sqlite;
pub mod store;
pub mod transaction;
pub mod watch;

mod history;

pub use clock::{Clock, Monotonic};
pub use entry::{Entry, LeaseId, Revision};
pub use key::{KeyError, Span};
pub use range::{Order, Page, Range};
pub use sqlite::{OpenError, SqliteStore};
pub use store::{StateStore, StoreError};
pub use transaction::{Compare, Operation, Outcome, Transaction, TransactionError};
pub use watch::{Batch, Change, Watch, WatchError};
