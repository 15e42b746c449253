//! Random transactions, against a model that is a map in memory; and a watcher, whose copy must
//! become the same.
#![allow(clippy::unwrap_used, reason = "a test ends with its first failure")]

use proptest::collection::vec;
use proptest::prelude::*;
use soulbox_model::ByteSize;
use soulbox_settings::Store as Settings;
use soulbox_store::{
    Change, Compare, Entry, Operation, Outcome, Range, Revision, Span, SqliteStore, StateStore,
    StoreError, Transaction,
};
use std::collections::BTreeMap;

/// Keys so few that transactions meet, some of which are prefixes of others.
const KEYS: [&str; 7] = ["a", "a/", "a/b", "a/c", "b", "ä", "a0"];

#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    revision: u64,
}

impl Model {
    fn transact(&mut self, transaction: &Transaction) -> Outcome {
        let found: Vec<_> = transaction
            .compares
            .iter()
            .enumerate()
            .filter(|(_, compare)| !self.holds(compare))
            .map(|(at, compare)| (at, self.entries.get(compare.key()).cloned()))
            .collect();
        let side = if found.is_empty() {
            &transaction.then
        } else {
            &transaction.otherwise
        };
        let mut changed = false;
        for operation in side {
            changed |= self.apply(operation);
        }
        self.revision += u64::from(changed);
        let revision = Revision(self.revision);
        match found.is_empty() {
            true => Outcome::Committed { revision },
            false => Outcome::Failed { revision, found },
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found = self.entries.get(compare.key());
        match compare {
            Compare::Absent(_) => found.is_none(),
            Compare::Exists(_) => found.is_some(),
            Compare::Unchanged(_, revision) => found.map(|entry| entry.modified) == Some(*revision),
            Compare::Value(_, value) => found.map(|entry| &entry.value) == Some(value),
        }
    }

    fn apply(&mut self, operation: &Operation) -> bool {
        let next = Revision(self.revision + 1);
        match operation {
            Operation::Put { key, value, lease } => {
                let before = self.entries.get(key);
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created: before.map_or(next, |entry| entry.created),
                    modified: next,
                    version: before.map_or(1, |entry| entry.version + 1),
                    lease: *lease,
                };
                self.entries.insert(key.clone(), entry);
                true
            }
            Operation::Delete(key) => self.entries.remove(key).is_some(),
            Operation::DeleteRange(span) => {
                let before = self.entries.len();
                self.entries.retain(|key, _| !span.contains(key));
                self.entries.len() != before
            }
        }
    }

    fn page(&self, range: &Range) -> (Vec<Entry>, bool) {
        let inside = self
            .entries
            .values()
            .filter(|entry| range.span.contains(&entry.key));
        let mut entries: Vec<Entry> = inside.cloned().collect();
        if range.order == soulbox_store::Order::Descending {
            entries.reverse();
            entries.retain(|entry| range.after.as_ref().is_none_or(|after| entry.key < *after));
        } else {
            entries.retain(|entry| range.after.as_ref().is_none_or(|after| entry.key > *after));
        }
        let more = entries.len() > range.limit;
        entries.truncate(range.limit);
        (entries, more)
    }
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "1", "2"]).prop_map(str::to_owned)
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        key().prop_map(Span::Prefix),
        Just(Span::prefix("")),
        (key(), key()).prop_map(|(start, end)| Span::Between(start, end)),
    ]
}

fn compare() -> impl Strategy<Value = Compare> {
    prop_oneof![
        key().prop_map(Compare::Absent),
        key().prop_map(Compare::Exists),
        (key(), 0..30_u64).prop_map(|(key, revision)| Compare::Unchanged(key, Revision(revision))),
        (key(), value()).prop_map(|(key, value)| Compare::Value(key, value.into())),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Operation::put(key, value)),
        2 => key().prop_map(Operation::Delete),
        1 => span().prop_map(Operation::DeleteRange),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (
        vec(compare(), 0..3),
        vec(operation(), 0..4),
        vec(operation(), 0..4),
    )
        .prop_map(|(compares, then, otherwise)| Transaction {
            compares,
            then,
            otherwise,
            ends: false,
        })
}

fn range() -> impl Strategy<Value = Range> {
    (span(), prop::option::of(key()), 1..8_usize, any::<bool>()).prop_map(
        |(span, after, limit, descending)| Range {
            after,
            ..match descending {
                true => Range::of(span).limit(limit).descending(),
                false => Range::of(span).limit(limit),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// About 3 s.
    #[test]
    fn store_is_a_map(steps in vec((transaction(), range()), 1..30), again in 0..30_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&steps, again));
    }
}

async fn play(steps: &[(Transaction, Range)], again: usize) {
    let settings = Settings {
        queue: 64,
        reserve: ByteSize::mib(1),
        history: 4096,
    };
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path(), &settings)
        .await
        .unwrap();
    let mut model = Model::default();
    let mut copy = Model::default();
    let mut watch = store.watch(Span::prefix(""), None).await.unwrap();
    for (at, (transaction, range)) in steps.iter().enumerate() {
        let before = model.revision;
        match store.transact(transaction.clone()).await {
            Ok(outcome) => assert_eq!(outcome, model.transact(transaction)),
            Err(error) => {
                assert!(matches!(error, StoreError::Transaction(_)), "{error}");
                assert!(transaction.check().is_err());
            }
        }
        let page = store.range(range.clone()).await.unwrap();
        assert_eq!((page.entries, page.more), model.page(range), "{range:?}");
        assert_eq!(page.revision.0, model.revision);
        if model.revision != before {
            let batch = watch.next().await.unwrap();
            assert_eq!(batch.revision.0, model.revision);
            copy.revision = batch.revision.0;
            for change in batch.changes {
                match change {
                    Change::Put(entry) => copy.entries.insert(entry.key.clone(), (*entry).clone()),
                    Change::Removed(key) => copy.entries.remove(&*key),
                };
            }
            assert_eq!(copy, model);
        }
        if at == again {
            store.close().await;
            store = SqliteStore::open(directory.path(), &settings)
                .await
                .unwrap();
            watch = store
                .watch(Span::prefix(""), Some(Revision(model.revision)))
                .await
                .unwrap();
        }
    }
    store.close().await;
}
