//! Sandboxes that outlive their engine: each engine here is a process of its own, this very program
//! started again, that is killed with nothing to clean up after itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use soulbox_node::lease::Table;
use soulbox_node::{Deadline, HowEnded, Node, NodeError, Sandbox, Then};
use soulbox_runtime::native::identity::{Identity, started};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Place, cgroups, entries, shell, spec};

const MACHINE: &str = "/run/soulbox/machine";

/// Told to a process that is to be an engine: its directories.
const PLACE: &str = "SOULBOX_TEST_LASTING";

/// How long an engine's process may take to make its sandboxes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox that another engine made.
#[derive(Debug)]
struct Made {
    slot: u32,
    pid: u32,
    id: String,
}

/// Not a test of its own: the engine that is killed.
#[tokio::test]
async fn engine_of_its_own() {
    #[allow(
        clippy::disallowed_methods,
        reason = "how the test starts itself again"
    )]
    let Ok(root) = std::env::var(PLACE) else {
        return;
    };
    let (root, backend) = root.split_once(' ').unwrap();
    let place = Place::at(Path::new(root));
    let node = start(&place, backend).await;
    node.keep_ready(spec(&node), None, None);
    node.pools_filled().await;
    let mut all = Vec::new();
    for (name, deadline) in [
        ("stays", None),
        ("ends", Some((300, Then::End))),
        ("pauses", Some((300, Then::Pause))),
        ("killed", None),
    ] {
        let sandbox = node.create(spec(&node)).await.unwrap();
        let script = "echo before > /tmp/file; (sleep 600) >/dev/null 2>&1 & echo $!";
        let said = shell(&sandbox, "user", script).await.stdout;
        sandbox
            .set_note(&format!("{name} {}", said.trim()))
            .await
            .unwrap();
        sandbox
            .set_deadline(deadline.map(|(ms, then)| Deadline {
                left: Duration::from_millis(ms),
                then,
            }))
            .await
            .unwrap();
        print_made(&sandbox);
        all.push(sandbox);
    }
    #[allow(clippy::print_stdout, reason = "what the test waits for")]
    {
        println!("ready");
    }
    // Until it is killed; or until the test is, and nobody else would end anything.
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = closed.await;
    node.stop().await;
}

fn print_made(sandbox: &Sandbox) {
    #[allow(clippy::print_stdout, reason = "what the test reads")]
    {
        let (slot, pid, id) = (sandbox.slot(), sandbox.pid(), sandbox.id());
        println!("made {slot} {pid} {}", id.as_str());
    }
}

async fn start(place: &Place, backend: &str) -> Arc<Node> {
    let more = [
        ("storage.backend", backend),
        ("storage.size", "512M"),
        ("pool.slots", "2"),
        ("pool.parked", "1"),
        ("pool.prepared", "1"),
    ];
    Node::start_lasting(place.settings(&more)).await.unwrap()
}

/// An engine in a process of its own, and what it made.
fn engine(place: &Place, backend: &str) -> (Child, Vec<Made>) {
    let root = place.path("").to_str().unwrap().to_owned();
    #[allow(clippy::disallowed_methods, reason = "an engine that can be killed")]
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine_of_its_own", "--nocapture"])
        .env(PLACE, format!("{root} {backend}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let mut made = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        assert!(begin.elapsed() < PATIENCE);
        // The harness may have begun the line.
        let Some(at) = line.find("made ").or_else(|| line.find("ready")) else {
            continue;
        };
        let words: Vec<_> = line[at..].split(' ').collect();
        let [_, slot, pid, id] = words[..] else {
            return (child, made);
        };
        made.push(Made {
            slot: slot.parse().unwrap(),
            pid: pid.parse().unwrap(),
            id: id.to_owned(),
        });
    }
    let _ = child.wait();
    panic!("the engine ended by itself");
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

/// Waits until a process has ended.
async fn ended(pid: u32) {
    let begin = Instant::now();
    while started(pid).is_some() {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Ends a spawner that a test leaves because it failed.
struct Spawner(Identity);

impl Spawner {
    fn of(sandbox: u32) -> Self {
        Self(Identity::of(parent(sandbox)).unwrap())
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.0.end(Duration::ZERO, PATIENCE);
    }
}

/// That nothing is left of slots and directories.
fn nothing_is_left(place: &Place, made: &[Made], spawner: u32) {
    for one in made {
        assert!(cgroups(one.slot).is_empty(), "{one:?}");
        assert_eq!(started(one.pid), None, "{one:?}");
    }
    assert_eq!(started(spawner), None);
    assert_eq!(entries(&place.path("run/engines")), 0);
    assert_eq!(entries(&place.path("data/sandboxes")), 0);
    let held = Table::open(Path::new(MACHINE)).unwrap().held().unwrap();
    assert!(held.iter().all(|record| record.holder.pid != spawner));
}

/// What must hold after the engine of [`engine_of_its_own`] was killed.
async fn survives(place: &Place, backend: &str) {
    let (mut first, made) = engine(place, backend);
    let [stays, ends, pauses, killed] = &made[..] else {
        panic!("{made:?}");
    };
    let guard = Spawner::of(stays.pid);
    let spawner = guard.0.pid;
    // Another server beside it is refused, and harms nothing.
    let more = [("storage.backend", backend)];
    let refused = Node::start_lasting(place.settings(&more)).await;
    assert!(matches!(refused, Err(NodeError::Busy { pid, .. }) if pid == spawner));
    first.kill().unwrap();
    first.wait().unwrap();
    kill(killed.pid);
    ended(killed.pid).await;
    ended(ends.pid).await;

    let node = start(place, backend).await;
    let told = node.ended_meanwhile().await;
    let how = |made: &Made| {
        let mut about = told.iter().filter(|ended| ended.id.as_str() == made.id);
        let (one, more) = (about.next(), about.next());
        assert!(more.is_none());
        one.map(|ended| (ended.note.split(' ').next().unwrap().to_owned(), ended.how))
    };
    assert_eq!(how(ends), Some(("ends".to_owned(), HowEnded::Expired)));
    assert_eq!(
        how(killed),
        Some(("killed".to_owned(), HowEnded::Killed(9)))
    );
    assert_eq!((how(stays), how(pauses)), (None, None));
    let mut adopted = node.adopted();
    assert!(node.adopted().is_empty());
    adopted.sort_by_key(|(_, note)| note.clone());
    let [(paused, _), (stayed, note)] = &adopted[..] else {
        panic!("{} were taken over", adopted.len());
    };
    assert_eq!((stayed.slot(), stayed.pid()), (stays.slot, stays.pid));
    assert_eq!(stayed.id().as_str(), stays.id);
    assert_eq!(stayed.spec(), &spec(&node));
    // The process from before still runs, its file is there, and a new command works.
    let inside = note.strip_prefix("stays ").unwrap().to_owned();
    let said = shell(
        stayed,
        "user",
        &format!("kill -0 {inside} && cat /tmp/file"),
    )
    .await;
    assert_eq!((said.stdout.as_str(), said.code), ("before\n", Some(0)));
    assert!(stayed.metrics().await.unwrap().disk.is_some());
    // One whose deadline was to pause it stands still until it is told to go on.
    assert_eq!(paused.pid(), pauses.pid);
    paused.paused().wait_for(|paused| *paused).await.unwrap();
    paused.resume().await.unwrap();
    assert!(!*paused.paused().borrow());
    assert_eq!(
        shell(paused, "user", "cat /tmp/file").await.stdout,
        "before\n"
    );
    // New ones are made beside them, and theirs too are taken over: this engine leaves.
    let new = node.create(spec(&node)).await.unwrap();
    assert!(![stays.slot, pauses.slot].contains(&new.slot()));
    new.set_note("new").await.unwrap();
    node.leave().await;
    drop((new, adopted, node));

    let node = start(place, backend).await;
    let mut notes: Vec<_> = node.adopted().into_iter().map(|(_, note)| note).collect();
    // They were taken and dropped, and so they end.
    notes.sort();
    assert_eq!(notes.len(), 3);
    assert_eq!(notes[0], "new");
    assert_eq!(notes[2], format!("stays {inside}"));
    node.stop().await;
    drop(node);
    nothing_is_left(place, &made, spawner);
}

#[tokio::test]
async fn sandboxes_survive_their_engine() {
    survives(&Place::new(), "memory").await;
}

#[tokio::test]
async fn sandboxes_on_disk_survive_their_engine() {
    survives(&Place::new(), "btrfs").await;
}

#[tokio::test]
async fn deadlines_are_kept_on_time_and_can_be_changed() {
    let place = Place::new();
    let node = start(&place, "memory").await;
    let in_ms = |ms, then| {
        Some(Deadline {
            left: Duration::from_millis(ms),
            then,
        })
    };
    let sandbox = node.create(spec(&node)).await.unwrap();
    sandbox.set_deadline(in_ms(20, Then::End)).await.unwrap();
    sandbox
        .set_deadline(in_ms(3_600_000, Then::End))
        .await
        .unwrap();
    sandbox.set_deadline(in_ms(200, Then::Pause)).await.unwrap();
    let begin = Instant::now();
    sandbox.paused().wait_for(|paused| *paused).await.unwrap();
    let late = begin.elapsed().saturating_sub(Duration::from_millis(200));
    assert!(begin.elapsed() >= Duration::from_millis(190) && late < Duration::from_secs(2));
    // A frozen one expires like any other.
    sandbox.set_deadline(in_ms(50, Then::End)).await.unwrap();
    assert_eq!(sandbox.end().await.how, HowEnded::Expired);
    let other = node.create(spec(&node)).await.unwrap();
    other.set_deadline(in_ms(100, Then::End)).await.unwrap();
    other.set_deadline(None).await.unwrap();
    assert!(other.set_note(&"x".repeat(1025)).await.is_err());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(shell(&other, "user", "echo here").await.stdout, "here\n");
    kill(other.pid());
    assert_eq!(other.end().await.how, HowEnded::Killed(9));
    let slots = [sandbox.slot(), other.slot()];
    node.stop().await;
    assert!(slots.iter().all(|slot| cgroups(*slot).is_empty()));
}

#[tokio::test]
async fn a_spawner_that_is_killed_with_its_engine_gone_leaves_nothing() {
    let place = Place::new();
    let (mut first, made) = engine(&place, "memory");
    let guard = Spawner::of(made[0].pid);
    let spawner = guard.0.pid;
    first.kill().unwrap();
    first.wait().unwrap();
    kill(spawner);
    ended(spawner).await;
    let node = start(&place, "memory").await;
    assert!(node.adopted().is_empty());
    let told = node.ended_meanwhile().await;
    let lost = told.iter().find(|ended| ended.id.as_str() == made[0].id);
    let lost = lost.unwrap();
    assert_eq!(lost.how, HowEnded::SpawnerLost);
    assert!(lost.note.starts_with("stays "));
    // A spawner that is lost under a living engine is replaced by one that lasts too.
    let sandbox = node.create(spec(&node)).await.unwrap();
    let second = parent(sandbox.pid());
    kill(second);
    assert_eq!(sandbox.end().await.how, HowEnded::SpawnerLost);
    let third = node.create(spec(&node)).await.unwrap();
    third.set_note("third").await.unwrap();
    let pid = third.pid();
    let _guard = Spawner::of(pid);
    drop(sandbox);
    // Not even told that it ends.
    drop(node);
    drop(third);
    let node = start(&place, "memory").await;
    let adopted = node.adopted();
    assert_eq!(adopted.len(), 1);
    assert_eq!((adopted[0].0.pid(), adopted[0].1.as_str()), (pid, "third"));
    drop(adopted);
    let last = parent(pid);
    node.stop().await;
    drop(node);
    nothing_is_left(&place, &made, last);
    assert_eq!((started(second), started(last)), (None, None));
}
