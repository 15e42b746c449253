//! The store in a file, without anything going wrong with the disk.
#![allow(clippy::unwrap_used, reason = "a test ends with its first failure")]

use soulbox_model::ByteSize;
use soulbox_settings::Store as Settings;
use soulbox_store::conformance::{self, Subject};
use soulbox_store::{
    Clock, LeaseId, OpenError, Operation, Range, Revision, Span, SqliteStore, StateStore,
    StoreError, Transaction, WatchError,
};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn settings() -> Settings {
    Settings {
        queue: 64,
        reserve: ByteSize::mib(1),
        history: 4096,
    }
}

async fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, &settings()).await.unwrap()
}

async fn put(store: &SqliteStore, key: &str, value: &str) -> Revision {
    let put = Transaction::doing(vec![Operation::put(key, value.to_owned())]);
    store.transact(put).await.unwrap().committed().unwrap()
}

/// A clock that a test moves.
struct Hands(Mutex<Instant>);

impl Clock for Hands {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

impl Hands {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    fn move_by(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let clock = Arc::clone(&hands) as Arc<dyn Clock>;
    let store = SqliteStore::open_with_clock(directory.path(), &settings(), clock)
        .await
        .unwrap();
    let pass = |time| {
        hands.move_by(time);
        Box::pin(async { store.look_at_clock().await.unwrap() })
            as futures_util::future::BoxFuture<'_, ()>
    };
    let subject = Subject {
        store: &store,
        pass: &pass,
    };
    conformance::all(&subject).await;
    store.close().await;
}

#[tokio::test]
async fn lease_ends_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let lease = store.grant(Duration::from_secs(1)).await.unwrap();
    let put = Operation::put_with_lease("a", "", lease);
    store.transact(Transaction::doing(vec![put])).await.unwrap();
    let mut watch = store.watch(Span::prefix("a"), None).await.unwrap();
    let begun = Instant::now();
    watch.next().await.unwrap();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    assert_eq!(store.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn closed_store_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let store = open(directory.path()).await;
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let put_leased = Operation::put_with_lease("leased", "", lease);
    store
        .transact(Transaction::doing(vec![put_leased]))
        .await
        .unwrap();
    let before = put(&store, "a", "1").await;
    store.close().await;
    // The file alone is the store, without its log.
    assert!(!directory.path().join("store.db-wal").exists());

    let clock = Arc::clone(&hands) as Arc<dyn Clock>;
    let store = SqliteStore::open_with_clock(directory.path(), &settings(), clock)
        .await
        .unwrap();
    let page = store.range(Range::prefix("")).await.unwrap();
    assert_eq!(page.revision, before);
    assert_eq!(page.entries.len(), 2);
    assert_eq!(put(&store, "b", "1").await, Revision(before.0 + 1));
    let lost = store.watch(Span::prefix(""), Some(Revision(1))).await;
    assert!(matches!(lost, Err(WatchError::Lost { .. })));
    hands.move_by(Duration::from_secs(59));
    store.look_at_clock().await.unwrap();
    assert!(store.get("leased").await.unwrap().is_some());
    hands.move_by(Duration::from_secs(2));
    store.look_at_clock().await.unwrap();
    assert!(store.get("leased").await.unwrap().is_none());
    assert_ne!(store.grant(Duration::from_secs(1)).await.unwrap(), lease);
}

#[tokio::test]
async fn closed_store_answers_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut watch = store.watch(Span::prefix(""), None).await.unwrap();
    store.close().await;
    store.close().await;
    assert_eq!(store.get("a").await, Err(StoreError::Closed));
    assert_eq!(
        store.transact(Transaction::default()).await,
        Err(StoreError::Closed)
    );
    assert_eq!(store.keep_alive(LeaseId(1)).await, Err(StoreError::Closed));
    assert_eq!(watch.next().await, Err(WatchError::Closed));
}

#[tokio::test]
async fn what_was_sent_before_the_end_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).await);
    let writes: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let key = format!("k{number:02}");
                let put = Transaction::doing(vec![Operation::put(key.clone(), "")]);
                store.transact(put).await.is_ok().then_some(key)
            })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut acknowledged = Vec::new();
    for write in writes {
        acknowledged.extend(write.await.unwrap());
    }
    let store = open(directory.path()).await;
    let page = store.range(Range::prefix("k")).await.unwrap();
    let found: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(found, acknowledged);
}

#[tokio::test]
async fn store_has_one_user() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let second = SqliteStore::open(directory.path(), &settings())
        .await
        .unwrap_err();
    assert!(matches!(second, OpenError::Taken { .. }));
    let told = second.to_string();
    assert!(told.contains(&std::process::id().to_string()), "{told}");
    put(&store, "a", "still works").await;
    store.close().await;
    open(directory.path()).await.close().await;
}

#[tokio::test]
async fn damaged_file_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for number in 0..200 {
        put(&store, &format!("key/{number}"), &"value".repeat(500)).await;
    }
    store.close().await;
    let path = directory.path().join("store.db");
    let whole = std::fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    for damage in [
        {
            let mut bytes = whole.clone();
            bytes[4096 * 2..].fill(0x5a);
            bytes
        },
        whole[..middle].to_vec(),
        b"this is a letter and no store, and long enough to be told from one".repeat(100),
    ] {
        std::fs::write(&path, &damage).unwrap();
        let refused = SqliteStore::open(directory.path(), &settings())
            .await
            .unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("backup"), "{refused}");
        assert!(std::fs::read(&path).unwrap() == damage);
    }
    std::fs::write(&path, &whole).unwrap();
    open(directory.path()).await;
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    let path = directory.path().join("store.db");
    let change = |sql| {
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    change("PRAGMA user_version = 99");
    let newer = SqliteStore::open(directory.path(), &settings())
        .await
        .unwrap_err();
    assert!(
        matches!(newer, OpenError::Newer { found: 99, .. }),
        "{newer}"
    );
    change("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let foreign = SqliteStore::open(directory.path(), &settings())
        .await
        .unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
}

#[tokio::test]
async fn backup_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory.path().join("one")).await);
    for number in 0..100 {
        put(&store, &format!("key/{number}"), &"value".repeat(500)).await;
    }
    let copy = directory.path().join("two");
    std::fs::create_dir(&copy).unwrap();
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for number in 0..50 {
            put(&writing, "beside", &number.to_string()).await;
        }
    });
    let at_least = store.range(Range::prefix("key/")).await.unwrap();
    store.backup(&copy.join("store.db")).await.unwrap();
    writer.await.unwrap();
    let again = store.backup(&copy.join("store.db")).await.unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let restored = open(&copy).await;
    let found = restored.range(Range::prefix("key/")).await.unwrap();
    assert_eq!(found.entries, at_least.entries);
    assert!(found.revision >= at_least.revision);
    put(&restored, "new", "").await;
    restored.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_is_always_a_place_to_watch_from() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).await);
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for number in 0..300 {
            put(&writing, "a", &number.to_string()).await;
        }
    });
    while !writer.is_finished() {
        let page = store.range(Range::prefix("a")).await.unwrap();
        store
            .watch(Span::prefix("a"), Some(page.revision))
            .await
            .unwrap();
    }
    writer.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn first_start_that_was_cut_off_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    file.close().unwrap();
    let store = open(directory.path()).await;
    put(&store, "a", "1").await;
    store.close().await;
}
