//! What a transaction costs, alone and in company: `cargo bench -p soulbox-store > docs/bench/store.json`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that ends with the first failure, and prints"
)]

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use soulbox_model::ByteSize;
use soulbox_settings::Store as Settings;
use soulbox_store::{Compare, Operation, Range, SqliteStore, StateStore, Transaction};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Times of one thing.
struct Times {
    name: String,
    histogram: Histogram<u64>,
    took: Duration,
}

impl Times {
    fn of(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            histogram: Histogram::new_with_bounds(1, 60_000_000, 3).unwrap(),
            took: Duration::ZERO,
        }
    }

    fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap();
        self.histogram.saturating_record(micros.max(1));
    }

    fn row(&self) -> Value {
        let count = u32::try_from(self.histogram.len()).unwrap();
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        json!({
            "name": self.name, "count": count, "min_us": self.histogram.min(),
            "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99),
            "max_us": self.histogram.max(), "per_second": f64::from(count) / self.took.as_secs_f64(),
        })
    }
}

fn main() {
    // Tests of all targets start this, too; there is nothing to test.
    if std::env::args().any(|word| word == "--test" || word == "--list") {
        return;
    }
    let before = load();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut rows = vec![syncs(disk.path()).row()];
    for (place, path) in [("disk", disk.path()), ("memory", memory.path())] {
        rows.extend(runtime.block_on(store(place, path)));
    }
    let report = json!({
        "bench": "store", "version": env!("CARGO_PKG_VERSION"), "machine": machine(),
        "load_before": before, "load_after": load(), "times": rows, "figures": [],
    });
    println!("{report}");
}

/// What the disk takes to keep one page: the least that a commit can cost.
fn syncs(directory: &Path) -> Times {
    let mut times = Times::of("one page written and synced, disk");
    let file = File::create(directory.join("page")).unwrap();
    let page = [7_u8; 4096];
    file.write_all_at(&vec![1; 1024 * 1024], 0).unwrap();
    file.sync_all().unwrap();
    let begun = Instant::now();
    for at in 0..1000_u64 {
        let one = Instant::now();
        file.write_all_at(&page, at % 256 * 4096).unwrap();
        file.sync_data().unwrap();
        times.add(one.elapsed());
    }
    times.took = begun.elapsed();
    times
}

async fn store(place: &str, directory: &Path) -> Vec<Value> {
    let settings = Settings {
        queue: 256,
        reserve: ByteSize::mib(8),
        history: 4096,
    };
    let store = Arc::new(
        SqliteStore::open(&directory.join("store"), &settings)
            .await
            .unwrap(),
    );
    // The log has been written once from end to end, as in any store that is not new.
    creates(&store, "first", 64, 6_000).await;
    let mut rows = Vec::new();
    for (at_once, count) in [(1, 2_000), (16, 10_000), (64, 20_000)] {
        let name = format!("create's transaction, {at_once} at once, {place}");
        let mut times = creates(&store, &at_once.to_string(), at_once, count).await;
        times.name = name;
        rows.push(times.row());
    }
    if place == "disk" {
        rows.push(reads(&store).await.row());
        rows.push(pages(&store).await.row());
    }
    store.close().await;
    rows
}

/// Four records as a create writes them: the sandbox, its event, its idempotency record, an index.
fn create(name: &str, number: usize) -> Transaction {
    let key = |kind: &str| format!("{kind}/{name}/{number:08}");
    Transaction::doing(vec![
        Operation::put(key("sandbox"), vec![b's'; 900]),
        Operation::put(key("event"), vec![b'e'; 200]),
        Operation::put(key("idempotency"), vec![b'i'; 400]),
        Operation::put(key("by-team"), vec![b't'; 16]),
    ])
    .only_if(Compare::Absent(key("sandbox")))
}

async fn creates(store: &Arc<SqliteStore>, name: &str, at_once: usize, count: usize) -> Times {
    let mut all = Times::of("");
    let begun = Instant::now();
    let writers: Vec<_> = (0..at_once)
        .map(|writer| {
            let (store, name) = (Arc::clone(store), format!("{name}-{writer}"));
            tokio::spawn(async move {
                let mut times = Vec::new();
                for number in 0..count / at_once {
                    let one = Instant::now();
                    store.transact(create(&name, number)).await.unwrap();
                    times.push(one.elapsed());
                }
                times
            })
        })
        .collect();
    for writer in writers {
        for time in writer.await.unwrap() {
            all.add(time);
        }
    }
    all.took = begun.elapsed();
    all
}

async fn reads(store: &SqliteStore) -> Times {
    let mut times = Times::of("get");
    let begun = Instant::now();
    for number in 0..5_000_usize {
        let one = Instant::now();
        let key = format!("sandbox/64-{}/{:08}", number % 64, number % 300);
        store.get(&key).await.unwrap().unwrap();
        times.add(one.elapsed());
    }
    times.took = begun.elapsed();
    times
}

async fn pages(store: &SqliteStore) -> Times {
    let mut times = Times::of("range of 100 sandboxes");
    let begun = Instant::now();
    for _ in 0..1_000 {
        let one = Instant::now();
        let page = store
            .range(Range::prefix("sandbox/").limit(100))
            .await
            .unwrap();
        assert_eq!(page.entries.len(), 100);
        times.add(one.elapsed());
    }
    times.took = begun.elapsed();
    times
}

fn load() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    let mut words = text.split(' ').map(|word| word.parse().unwrap_or(0.0));
    [(); 3].map(|()| words.next().unwrap_or(0.0))
}

fn machine() -> Value {
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    let memory = line("/proc/meminfo", "MemTotal");
    let memory: u64 = memory.split(' ').next().unwrap().parse().unwrap();
    let cores = std::thread::available_parallelism().unwrap();
    let linux = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let cgroups = match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => "v2",
        false if Path::new("/sys/fs/cgroup/unified").exists() => "hybrid",
        false => "v1",
    };
    json!({
        "cpu": line("/proc/cpuinfo", "model name"), "cores": cores, "memory_mib": memory / 1024,
        "linux": linux.trim(), "cgroups": cgroups,
    })
}
