//! What was acknowledged is there after `kill -9`, whenever it comes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends with its first failure"
)]

use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use soulbox_model::ByteSize;
use soulbox_settings::Store as Settings;
use soulbox_store::{Operation, SqliteStore, StateStore, Transaction};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long all rounds take together.
const ALL: Duration = Duration::from_secs(5);

/// Who write at once.
const WRITERS: usize = 8;

fn settings() -> Settings {
    Settings {
        queue: 64,
        reserve: ByteSize::mib(1),
        history: 64,
    }
}

/// Not a test of its own: what is killed. Reads where its store is, then writes for ever and tells
/// each acknowledged transaction.
#[test]
#[ignore = "it is started by the test below"]
fn writes_until_it_is_killed() {
    let mut directory = String::new();
    std::io::stdin().read_line(&mut directory).unwrap();
    if directory.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(directory.trim()), &settings())
            .await
            .unwrap();
        let store = Arc::new(store);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(Arc::clone(&store), writer)))
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write(store: Arc<SqliteStore>, writer: usize) {
    let counter = format!("counter/{writer}");
    let before = store.get(&counter).await.unwrap();
    let before = before.map_or(0, |entry| entry.version);
    for number in before + 1.. {
        // The counter, and two records that must come and go together.
        let text = format!(
            "{number} {}",
            "x".repeat(usize::try_from(number * 37 % 3000).unwrap())
        );
        let mut operations = vec![
            Operation::put(counter.clone(), number.to_string()),
            Operation::put(format!("one/{writer}/{number:08}"), text.clone()),
            Operation::put(format!("two/{writer}/{number:08}"), text),
        ];
        if number > 20 {
            let old = number - 20;
            operations.push(Operation::delete(format!("one/{writer}/{old:08}")));
            operations.push(Operation::delete(format!("two/{writer}/{old:08}")));
        }
        let outcome = store
            .transact(Transaction::doing(operations))
            .await
            .unwrap();
        let revision = outcome.committed().unwrap();
        let line = format!("acknowledged {writer} {number} {revision}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

#[allow(clippy::disallowed_methods, reason = "it starts itself, to be killed")]
fn start(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "writes_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", directory.display()).unwrap();
    child
}

/// What was acknowledged: the last number of each writer, and the last revision.
type Acknowledged = (BTreeMap<usize, u64>, u64);

fn kill_after(directory: &Path, time: Duration, seen: &mut Acknowledged) {
    let mut child = start(directory);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // It has begun to write: from here on the time is random.
    while !line.starts_with("acknowledged") {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "it ended by itself"
        );
    }
    let killer = std::thread::spawn(move || {
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    killer.join().unwrap();
    // A line that was cut by the kill counts as little as one that was never written.
    let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
    for line in std::iter::once(line.trim_end()).chain(whole.lines()) {
        let numbers = line.strip_prefix("acknowledged ").unwrap();
        let numbers: Vec<u64> = numbers
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        let last = seen
            .0
            .entry(usize::try_from(numbers[0]).unwrap())
            .or_default();
        *last = numbers[1].max(*last);
        seen.1 = numbers[2].max(seen.1);
    }
}

async fn check(directory: &Path, seen: &mut Acknowledged) -> u64 {
    let store = SqliteStore::open(directory, &settings()).await.unwrap();
    let mut all = 0;
    for (writer, acknowledged) in &mut seen.0 {
        let counter = store
            .get(&format!("counter/{writer}"))
            .await
            .unwrap()
            .unwrap();
        let last: u64 = std::str::from_utf8(&counter.value)
            .unwrap()
            .parse()
            .unwrap();
        // One more may be on disk, unheard.
        assert!(
            (*acknowledged..=*acknowledged + 1).contains(&last),
            "{last} {acknowledged}"
        );
        for number in last.saturating_sub(19).max(1)..=last {
            let one = store
                .get(&format!("one/{writer}/{number:08}"))
                .await
                .unwrap()
                .unwrap();
            let two = store
                .get(&format!("two/{writer}/{number:08}"))
                .await
                .unwrap()
                .unwrap();
            assert_eq!((one.value, one.modified), (two.value, two.modified));
        }
        // The next round begins here: one more of it may be unheard again.
        *acknowledged = last;
        all += last;
    }
    let page = store
        .range(soulbox_store::Range::prefix("one/"))
        .await
        .unwrap();
    assert!(page.revision.0 >= seen.1);
    assert!(page.entries.len() <= WRITERS * 20);
    store.close().await;
    all
}

/// About 5 s.
#[test]
fn acknowledged_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut random = TestRunner::default();
    let mut seen = Acknowledged::default();
    let begun = Instant::now();
    let mut rounds = 0;
    let mut all = 0;
    while begun.elapsed() < ALL {
        let micros = any::<u64>().new_tree(&mut random).unwrap().current() % 150_000;
        kill_after(directory.path(), Duration::from_micros(micros), &mut seen);
        all = runtime.block_on(check(directory.path(), &mut seen));
        rounds += 1;
    }
    println!("{rounds} kills, {all} transactions");
    assert!(rounds > 3 && all > 50, "{rounds} kills, {all} transactions");
}
