//! The suite that every store must pass: plain functions, for the tests of whoever brings a store.
//! Each works below a prefix of its own, so that one store may be given to all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, in a place where another crate's tests can call them"
)]

use crate::bounds;
use crate::entry::{LeaseId, Revision};
use crate::key::Span;
use crate::range::Range;
use crate::store::{StateStore, StoreError};
use crate::transaction::{Compare, Operation, Outcome, Transaction};
use crate::watch::{Change, Watch, WatchError};
use futures_util::future::{BoxFuture, join_all};
use std::time::Duration;

/// A store under test.
pub struct Subject<'a> {
    /// It.
    pub store: &'a dyn StateStore,
    /// Lets time pass for its leases, and returns when those that are due have ended.
    pub pass: &'a (dyn Fn(Duration) -> BoxFuture<'a, ()> + Sync),
}

/// Runs everything.
pub async fn all(subject: &Subject<'_>) {
    let store = subject.store;
    puts_are_read(store).await;
    comparisons_decide(store).await;
    failed_comparison_tells_what_is_there(store).await;
    transaction_is_done_whole_or_not_at_all(store).await;
    revisions_count_changes(store).await;
    ranges_are_read_in_pages(store).await;
    pages_are_bounded_by_their_bytes(store).await;
    ranges_are_removed(store).await;
    what_is_too_large_is_refused(store).await;
    one_of_many_wins(store).await;
    watch_tells_all_in_order(store).await;
    watch_begins_where_a_page_ended(store).await;
    watch_from_the_future_is_refused(store).await;
    leases_end_with_their_keys(subject).await;
    leases_are_kept_alive(subject).await;
    revoked_lease_is_gone(store).await;
}

async fn commit(store: &dyn StateStore, operations: Vec<Operation>) -> Revision {
    let outcome = store
        .transact(Transaction::doing(operations))
        .await
        .unwrap();
    outcome.committed().unwrap()
}

async fn value(store: &dyn StateStore, key: &str) -> Option<String> {
    let entry = store.get(key).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn keys(store: &dyn StateStore, range: Range) -> (Vec<String>, bool) {
    let page = store.range(range).await.unwrap();
    (
        page.entries.into_iter().map(|entry| entry.key).collect(),
        page.more,
    )
}

/// What was put is read, with its history in short.
pub async fn puts_are_read(store: &dyn StateStore) {
    assert_eq!(store.get("put/a").await.unwrap(), None);
    let first = commit(store, vec![Operation::put("put/a", "1")]).await;
    let second = commit(store, vec![Operation::put("put/a", vec![0_u8, 255])]).await;
    assert!(second > first);
    let entry = store.get("put/a").await.unwrap().unwrap();
    assert_eq!(entry.key, "put/a");
    assert_eq!(entry.value[..], [0, 255]);
    assert_eq!((entry.created, entry.modified), (first, second));
    assert_eq!((entry.version, entry.lease), (2, None));
    commit(store, vec![Operation::delete("put/a")]).await;
    assert_eq!(store.get("put/a").await.unwrap(), None);
    let third = commit(store, vec![Operation::put("put/a", "")]).await;
    let entry = store.get("put/a").await.unwrap().unwrap();
    assert_eq!((entry.created, entry.version), (third, 1));
    assert!(entry.value.is_empty());
}

/// Each kind of comparison, true and false.
pub async fn comparisons_decide(store: &dyn StateStore) {
    let key = || "compare/there".to_owned();
    let none = || "compare/none".to_owned();
    let first = commit(store, vec![Operation::put(key(), "1")]).await;
    let revision = commit(store, vec![Operation::put(key(), "2")]).await;
    let cases = [
        (Compare::Absent(none()), true),
        (Compare::Absent(key()), false),
        (Compare::Exists(key()), true),
        (Compare::Exists(none()), false),
        (Compare::Unchanged(key(), revision), true),
        (Compare::Unchanged(key(), first), false),
        (Compare::Unchanged(none(), revision), false),
        (Compare::Value(key(), "2".into()), true),
        (Compare::Value(key(), "1".into()), false),
        (Compare::Value(none(), "".into()), false),
    ];
    for (compare, holds) in cases {
        let told = format!("{compare:?}");
        let transaction = Transaction::doing(vec![Operation::put("compare/told", "then")])
            .only_if(Compare::Exists(key()))
            .only_if(compare)
            .or_else(vec![Operation::put("compare/told", "otherwise")]);
        let outcome = store.transact(transaction).await.unwrap();
        assert_eq!(outcome.committed().is_some(), holds, "{told}");
        let side = if holds { "then" } else { "otherwise" };
        assert_eq!(
            value(store, "compare/told").await.as_deref(),
            Some(side),
            "{told}"
        );
    }
}

/// Who lost learns what is there without asking again.
pub async fn failed_comparison_tells_what_is_there(store: &dyn StateStore) {
    let revision = commit(store, vec![Operation::put("failed/a", "there")]).await;
    let transaction = Transaction::doing(vec![Operation::put("failed/a", "mine")])
        .only_if(Compare::Exists("failed/a".to_owned()))
        .only_if(Compare::Absent("failed/a".to_owned()))
        .only_if(Compare::Exists("failed/b".to_owned()));
    let Outcome::Failed {
        revision: now,
        found,
    } = store.transact(transaction).await.unwrap()
    else {
        panic!("it cannot have held");
    };
    assert!(now >= revision);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].0, 1);
    let entry = found[0].1.as_ref().unwrap();
    assert_eq!(
        (&entry.value[..], entry.modified),
        (&b"there"[..], revision)
    );
    assert_eq!(found[1], (2, None));
}

/// Nothing of a refused transaction is seen.
pub async fn transaction_is_done_whole_or_not_at_all(store: &dyn StateStore) {
    let nobody = LeaseId(u64::MAX >> 2);
    let refused = store
        .transact(Transaction::doing(vec![
            Operation::put("whole/a", "1"),
            Operation::put_with_lease("whole/b", "2", nobody),
        ]))
        .await;
    assert_eq!(refused, Err(StoreError::NoLease(nobody)));
    assert_eq!(keys(store, Range::prefix("whole/")).await.0, [""; 0]);
    commit(
        store,
        vec![
            Operation::put("whole/a", "1"),
            Operation::put("whole/b", "2"),
        ],
    )
    .await;
    let page = store.range(Range::prefix("whole/")).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    assert_eq!(page.entries[0].modified, page.entries[1].modified);
}

/// A transaction that changes nothing makes no revision.
pub async fn revisions_count_changes(store: &dyn StateStore) {
    let first = commit(store, vec![Operation::put("count/a", "1")]).await;
    let same = commit(store, vec![Operation::delete("count/none")]).await;
    assert_eq!(same, first);
    let empty = commit(store, Vec::new()).await;
    assert_eq!(empty, first);
    let next = commit(store, vec![Operation::put("count/a", "1")]).await;
    assert_eq!(next.0, first.0 + 1);
    assert_eq!(
        store.range(Range::prefix("count/")).await.unwrap().revision,
        next
    );
}

/// Pages follow one another in both directions, without gaps and without doubles.
pub async fn ranges_are_read_in_pages(store: &dyn StateStore) {
    let names = ["page/a", "page/b", "page/b/1", "page/c", "page/ä"];
    for name in names {
        commit(store, vec![Operation::put(name, name)]).await;
    }
    commit(
        store,
        vec![Operation::put("page0", ""), Operation::put("page", "")],
    )
    .await;
    assert_eq!(keys(store, Range::prefix("page/")).await.0, names);
    for (descending, mut expected) in [(false, names), (true, names)] {
        let mut range = Range::prefix("page/").limit(2);
        if descending {
            expected.reverse();
            range = range.descending();
        }
        let mut found = Vec::new();
        loop {
            let (mut page, more) = keys(store, range.clone()).await;
            assert!(page.len() <= 2);
            found.append(&mut page);
            if !more {
                break;
            }
            range = range.after(found.last().unwrap());
        }
        assert_eq!(found, expected, "descending: {descending}");
    }
    let between = Span::Between("page/b".to_owned(), "page/c".to_owned());
    assert_eq!(
        keys(store, Range::of(between)).await.0,
        ["page/b", "page/b/1"]
    );
    let none = Span::Between("page/c".to_owned(), "page/a".to_owned());
    assert_eq!(keys(store, Range::of(none)).await, (Vec::new(), false));
    let all = store
        .range(Range::prefix("").after("page").limit(1))
        .await
        .unwrap();
    assert_eq!(all.entries[0].key, "page/a");
}

/// A page of large values ends early.
pub async fn pages_are_bounded_by_their_bytes(store: &dyn StateStore) {
    let count = bounds::PAGE_BYTES / bounds::VALUE + 2;
    for number in 0..count {
        let key = format!("large/{number:03}");
        commit(store, vec![Operation::put(key, vec![b'x'; bounds::VALUE])]).await;
    }
    let (first, more) = keys(store, Range::prefix("large/")).await;
    assert!(more && first.len() < count);
    let (rest, more) = keys(store, Range::prefix("large/").after(first.last().unwrap())).await;
    assert!(!more);
    assert_eq!(first.len() + rest.len(), count);
    commit(store, vec![Operation::DeleteRange(Span::prefix("large/"))]).await;
}

/// A range is removed at once, and nothing beside it.
pub async fn ranges_are_removed(store: &dyn StateStore) {
    let names = ["range/a", "range/b/1", "range/b/2", "range/b0", "range/c"];
    for name in names {
        commit(store, vec![Operation::put(name, "")]).await;
    }
    let before = commit(store, vec![Operation::delete("range/none")]).await;
    let after = commit(
        store,
        vec![Operation::DeleteRange(Span::prefix("range/b/"))],
    )
    .await;
    assert_eq!(after.0, before.0 + 1);
    let left = keys(store, Range::prefix("range/")).await.0;
    assert_eq!(left, ["range/a", "range/b0", "range/c"]);
}

/// Bad keys and what is too large are refused with their reason, and nothing is done.
pub async fn what_is_too_large_is_refused(store: &dyn StateStore) {
    let long = "k".repeat(bounds::KEY + 1);
    for key in ["", "a\0b", &long] {
        assert!(
            matches!(store.get(key).await, Err(StoreError::Key(_))),
            "{key:?}"
        );
        let put = Transaction::doing(vec![Operation::put(key, "")]);
        assert!(matches!(
            store.transact(put).await,
            Err(StoreError::Transaction(_))
        ));
    }
    let range = store.range(Range::prefix(&long)).await;
    assert!(matches!(range, Err(StoreError::Key(_))));
    let large = vec![Operation::put("size/a", vec![0; bounds::VALUE + 1])];
    let large = store.transact(Transaction::doing(large)).await;
    assert!(matches!(large, Err(StoreError::Transaction(_))));
    assert_eq!(value(store, "size/a").await, None);
    for time in [Duration::ZERO, Duration::MAX] {
        assert_eq!(store.grant(time).await, Err(StoreError::Time(time)));
    }
}

/// Of many who take the same thing one gets it.
pub async fn one_of_many_wins(store: &dyn StateStore) {
    let take = |who: usize| {
        let transaction = Transaction::doing(vec![Operation::put("win/it", who.to_string())])
            .only_if(Compare::Absent("win/it".to_owned()));
        async move {
            store
                .transact(transaction)
                .await
                .unwrap()
                .committed()
                .is_some()
        }
    };
    let won = join_all((0..50).map(take)).await;
    let winners: Vec<usize> = (0..50).filter(|who| won[*who]).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(value(store, "win/it").await, Some(winners[0].to_string()));
}

async fn told(watch: &mut Watch) -> (Revision, Vec<(String, bool)>) {
    let batch = watch.next().await.unwrap();
    let change = |change: &Change| (change.key().to_owned(), matches!(change, Change::Put(_)));
    (batch.revision, batch.changes.iter().map(change).collect())
}

/// A watch tells puts and removals of its span, each transaction at once.
pub async fn watch_tells_all_in_order(store: &dyn StateStore) {
    let mut watch = store.watch(Span::prefix("watch/"), None).await.unwrap();
    let mut made = Vec::new();
    let change = |operations| async move { commit(store, operations).await };
    made.push(
        change(vec![
            Operation::put("watch/b", "1"),
            Operation::put("other", "1"),
            Operation::put("watch/a", "1"),
        ])
        .await,
    );
    change(vec![Operation::put("other", "2")]).await;
    made.push(
        change(vec![
            Operation::delete("watch/a"),
            Operation::put("watch/b", "2"),
        ])
        .await,
    );
    made.push(change(vec![Operation::DeleteRange(Span::prefix("watch/"))]).await);
    let name = |name: &str, put| (name.to_owned(), put);
    assert_eq!(
        told(&mut watch).await,
        (made[0], vec![name("watch/a", true), name("watch/b", true)])
    );
    assert_eq!(
        told(&mut watch).await,
        (made[1], vec![name("watch/a", false), name("watch/b", true)])
    );
    assert_eq!(
        told(&mut watch).await,
        (made[2], vec![name("watch/b", false)])
    );
}

/// Reading a range and watching from its revision misses nothing and tells nothing twice.
pub async fn watch_begins_where_a_page_ended(store: &dyn StateStore) {
    commit(store, vec![Operation::put("from/a", "1")]).await;
    let page = store.range(Range::prefix("from/")).await.unwrap();
    let made = commit(store, vec![Operation::put("from/b", "1")]).await;
    let mut watch = store
        .watch(Span::prefix("from/"), Some(page.revision))
        .await
        .unwrap();
    let batch = watch.next().await.unwrap();
    assert_eq!(batch.revision, made);
    let Change::Put(entry) = &batch.changes[0] else {
        panic!("it was put");
    };
    assert_eq!(store.get("from/b").await.unwrap().as_ref(), Some(&**entry));
}

/// A revision that was not reached belongs to another state of the store.
pub async fn watch_from_the_future_is_refused(store: &dyn StateStore) {
    let now = commit(store, vec![Operation::put("future/a", "1")]).await;
    let watch = store
        .watch(Span::prefix(""), Some(Revision(now.0 + 100)))
        .await;
    assert!(matches!(watch, Err(WatchError::Ahead { .. })), "{watch:?}");
}

/// Keys vanish with their lease, not before, and watchers are told.
pub async fn leases_end_with_their_keys(subject: &Subject<'_>) {
    let store = subject.store;
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let put = |key| Operation::put_with_lease(key, "", lease);
    commit(
        store,
        vec![put("lease/a"), put("lease/b"), put("lease/stays")],
    )
    .await;
    assert_eq!(
        store.get("lease/a").await.unwrap().unwrap().lease,
        Some(lease)
    );
    commit(store, vec![Operation::put("lease/stays", "free of it")]).await;
    let mut watch = store.watch(Span::prefix("lease/"), None).await.unwrap();
    (subject.pass)(Duration::from_secs(55)).await;
    assert!(store.get("lease/a").await.unwrap().is_some());
    (subject.pass)(Duration::from_secs(6)).await;
    assert_eq!(
        keys(store, Range::prefix("lease/")).await.0,
        ["lease/stays"]
    );
    let gone = told(&mut watch).await.1;
    assert_eq!(
        gone,
        [("lease/a".to_owned(), false), ("lease/b".to_owned(), false)]
    );
    assert_eq!(
        store.keep_alive(lease).await,
        Err(StoreError::NoLease(lease))
    );
    let late = Transaction::doing(vec![put("lease/late")]);
    assert_eq!(store.transact(late).await, Err(StoreError::NoLease(lease)));
}

/// A lease that is kept alive has its whole time again.
pub async fn leases_are_kept_alive(subject: &Subject<'_>) {
    let store = subject.store;
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    commit(store, vec![Operation::put_with_lease("alive/a", "", lease)]).await;
    (subject.pass)(Duration::from_secs(50)).await;
    store.keep_alive(lease).await.unwrap();
    (subject.pass)(Duration::from_secs(50)).await;
    assert!(store.get("alive/a").await.unwrap().is_some());
    (subject.pass)(Duration::from_secs(11)).await;
    assert!(store.get("alive/a").await.unwrap().is_none());
}

/// Revoking ends a lease at once, and only once.
pub async fn revoked_lease_is_gone(store: &dyn StateStore) {
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let other = store.grant(Duration::from_secs(60)).await.unwrap();
    assert_ne!(lease, other);
    commit(
        store,
        vec![
            Operation::put_with_lease("revoke/a", "", lease),
            Operation::put_with_lease("revoke/b", "", other),
        ],
    )
    .await;
    store.revoke(lease).await.unwrap();
    assert_eq!(keys(store, Range::prefix("revoke/")).await.0, ["revoke/b"]);
    assert_eq!(store.revoke(lease).await, Err(StoreError::NoLease(lease)));
}
