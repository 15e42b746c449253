//! A disk that is full: what begins is refused, what ends goes on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends with its first failure"
)]

use soulbox_model::ByteSize;
use soulbox_settings::Store as Settings;
use soulbox_store::{
    Clock, OpenError, Operation, Range, Revision, Span, SqliteStore, StateStore, StoreError,
    Transaction,
};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sandboxes that are alive when the disk fills up.
const ALIVE: usize = 1000;

fn settings() -> Settings {
    Settings {
        queue: 64,
        reserve: ByteSize::mib(2),
        history: 64,
    }
}

struct Hands(Mutex<Instant>);

impl Clock for Hands {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

/// Not a test of its own: runs on a file system of its own, which the test below mounts where
/// nobody else sees it.
#[test]
#[ignore = "it is started by the test below"]
fn fills_its_disk() {
    let mut directory = String::new();
    std::io::stdin().read_line(&mut directory).unwrap();
    if !directory.is_empty() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(ends_on_a_full_disk(Path::new(directory.trim())));
    }
}

/// About 1 s.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "it starts itself, on a file system of its own"
)]
fn full_disk_refuses_what_begins_and_takes_what_ends() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=40m,mode=700 store-test \"$1\" && \
                  exec \"$2\" --exact fills_its_disk --ignored --nocapture";
    let mut child = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(
        child.stdin.take().unwrap(),
        "{}",
        directory.path().display()
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

/// Fills the disk to its last byte, as somebody who does not care would.
fn fill(file: &mut File) {
    for size in [1024 * 1024, 4096, 1] {
        let block = vec![1_u8; size];
        while file.write_all(&block).is_ok() {}
    }
}

async fn put(store: &SqliteStore, key: String, bytes: usize) -> Result<Revision, StoreError> {
    let put = Transaction::doing(vec![Operation::put(key, vec![b'r'; bytes])]);
    Ok(store.transact(put).await?.committed().unwrap())
}

/// The end of a sandbox: its record goes, its cause stays.
async fn end(store: &SqliteStore, number: usize) -> Result<Revision, StoreError> {
    let end = Transaction::doing(vec![
        Operation::delete(format!("sandbox/{number:05}")),
        Operation::put(format!("ended/{number:05}"), vec![b'e'; 400]),
    ]);
    Ok(store.transact(end.ending()).await?.committed().unwrap())
}

/// Puts until the store says that the disk is full.
async fn put_until_full(store: &SqliteStore) -> usize {
    for number in 0..100_000 {
        match put(store, format!("more/{number:06}"), 16 * 1024).await {
            Ok(_) => {}
            Err(StoreError::Full) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk was not full");
}

async fn ends_on_a_full_disk(disk: &Path) {
    let directory = disk.join("store");
    let hands = Arc::new(Hands(Mutex::new(Instant::now())));
    let clock = || Arc::clone(&hands) as Arc<dyn Clock>;
    let settings = settings();
    let open = || SqliteStore::open_with_clock(&directory, &settings, clock());
    let store = open().await.unwrap();
    for number in 0..ALIVE {
        put(&store, format!("sandbox/{number:05}"), 700)
            .await
            .unwrap();
    }
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let leased = Operation::put_with_lease("leased", vec![0; 100], lease);
    store
        .transact(Transaction::doing(vec![leased]))
        .await
        .unwrap();
    let mut other = File::create(disk.join("of-somebody-else")).unwrap();
    fill(&mut other);

    let before = put_until_full(&store).await;
    println!("{before} puts of 16 KiB on the full disk until it was refused");
    fill(&mut other);
    // Reading goes on.
    assert_eq!(
        store
            .range(Range::prefix("sandbox/"))
            .await
            .unwrap()
            .entries
            .len(),
        ALIVE
    );
    assert_eq!(
        store.grant(Duration::from_secs(60)).await,
        Err(StoreError::Full)
    );
    // So do ends, refused beginnings between them.
    for number in 0..ALIVE / 2 {
        end(&store, number).await.unwrap();
        if number % 50 == 0 {
            fill(&mut other);
            let refused = put(&store, "more/x".to_owned(), 8).await;
            assert_eq!(refused, Err(StoreError::Full));
        }
    }
    *hands.0.lock().unwrap() += Duration::from_secs(61);
    store.look_at_clock().await.unwrap();
    assert_eq!(store.get("leased").await.unwrap(), None);
    let last = end(&store, ALIVE / 2).await.unwrap();

    // A stop and a start on the full disk, which somebody else keeps full.
    store.close().await;
    let store = open().await.unwrap();
    fill(&mut other);
    let page = store.range(Range::prefix("sandbox/")).await.unwrap();
    assert_eq!((page.entries.len(), page.revision), (ALIVE / 2 - 1, last));
    for number in ALIVE / 2 + 1..ALIVE {
        end(&store, number).await.unwrap();
    }
    assert_eq!(
        store
            .range(Range::prefix("ended/"))
            .await
            .unwrap()
            .entries
            .len(),
        ALIVE
    );
    let refused = put(&store, "more/x".to_owned(), 8).await;
    assert_eq!(refused, Err(StoreError::Full));

    // Room again: all is as before, the reserve too.
    other.set_len(0).unwrap();
    let begun = Instant::now();
    while let Err(refused) = put(&store, "more/x".to_owned(), 8).await {
        assert_eq!(refused, StoreError::Full);
        assert!(begun.elapsed() < Duration::from_secs(10), "it stayed full");
    }
    let removed = Transaction::doing(vec![Operation::DeleteRange(Span::prefix("more/"))]);
    store.transact(removed).await.unwrap();
    store.close().await;

    // A store that never had room says what it needs.
    fill(&mut other);
    let fresh = SqliteStore::open(&disk.join("fresh"), &settings)
        .await
        .unwrap_err();
    assert!(
        matches!(fresh, OpenError::Full { .. } | OpenError::Directory { .. }),
        "{fresh}"
    );
}
