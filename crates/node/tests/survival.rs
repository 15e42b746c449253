//! What outlives whom: spawners that are killed, and slots whose files cannot be removed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use rustix::mount::{UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use soulbox_node::lease::{Holder, Table};
use soulbox_node::past::Past;
use soulbox_node::{CreateError, Node, Sandbox};
use soulbox_runtime::native::driver::DriverError;
use soulbox_runtime::native::identity::started;
use soulbox_runtime::native::journal::Ending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use support::{Place, cgroups, entries, shell, spec};

const MACHINE: &str = "/run/soulbox/machine";

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// The process that made a sandbox.
fn spawner(sandbox: &Sandbox) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sandbox.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

async fn works(node: &Node) {
    let sandbox = node.create(spec(node)).await.unwrap();
    let output = shell(&sandbox, "user", "echo still here").await;
    assert_eq!(output.stdout, "still here\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_killed_spawner_is_replaced_and_nothing_of_it_is_left() {
    let place = Place::new();
    let node = place
        .node(&[("pool.slots", "2"), ("pool.parked", "1")])
        .await;
    node.keep_ready(spec(&node), None, None);
    node.pools_filled().await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    let (slot, pid) = (sandbox.slot(), sandbox.pid());
    // Requests are served in order: once this is answered, it is written down what was made.
    sandbox.usage().await.unwrap();
    let lost = spawner(&sandbox);
    let holder = Holder::of(lost).unwrap();
    kill(lost);
    sandbox.ended().await;
    assert!(sandbox.was_lost());
    // What waited in the pools died too and is not handed out.
    works(&node).await;
    assert!(cgroups(slot).is_empty());
    assert_eq!(started(pid), None);
    let table = Table::open(Path::new(MACHINE)).unwrap();
    let held = table.held().unwrap();
    assert!(held.iter().all(|record| record.holder != holder));
    // It can be asked what became of it, but not of those that nobody had been given.
    let past = Past::new(Path::new(MACHINE)).all().unwrap();
    let told: Vec<_> = past
        .iter()
        .filter(|ended| &ended.id == sandbox.id())
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].slot, told[0].end.ending),
        (slot, Ending::SpawnerLost)
    );
    // And again, while a create is on its way.
    let second = node.create(spec(&node)).await.unwrap();
    let creates: Vec<_> = (0..8)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.create(spec(&node)).await.map(drop) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(3)).await;
    kill(spawner(&second));
    for create in creates {
        match create.await.unwrap() {
            Ok(()) | Err(CreateError::Driver(DriverError::SpawnerGone)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    drop(second);
    works(&node).await;
    node.stop().await;
    drop(node);
    assert_eq!(entries(&place.path("run/engines")), 0);
    assert_eq!(entries(&place.path("data/sandboxes")), 0);
}

/// A mount that goes when the test ends, however it ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_slot_stays_taken_until_its_files_are_gone() {
    let place = Place::new();
    let table = Arc::new(Table::open(Path::new(MACHINE)).unwrap());
    // An engine that was killed: a slot in the table, its note, and a file that cannot be removed.
    let (name, mark) = ("1-7ab50001", 0x7ab5_0001);
    let dead = Holder {
        pid: 1,
        started: u64::MAX,
    };
    let (run, data) = (
        place.path("x/engines").join(name),
        place.path("x/sandboxes").join(name),
    );
    let below = data.join("busy");
    for path in [&run, &below] {
        std::fs::create_dir_all(path).unwrap();
    }
    let note = Path::new(MACHINE).join("engines").join(name);
    std::fs::create_dir_all(note.parent().unwrap()).unwrap();
    std::fs::write(&note, format!(r#"{{"run":{run:?},"data":{data:?}}}"#)).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    mount("none", &below, "tmpfs", flags, None).unwrap();
    let mounted = Mounted(below);
    // As an engine does: noted first, taken then.
    let lease = table.take(dead, mark).unwrap();
    let slot = lease.slot();
    lease.leave();

    let taken = || {
        table
            .held()
            .unwrap()
            .iter()
            .any(|record| record.slot == slot)
    };
    place.node(&[]).await.stop().await;
    assert!(taken() && note.exists(), "its ids would meet its files");
    drop(mounted);
    place.node(&[]).await.stop().await;
    assert!(!taken() && !note.exists());
    assert!(!run.exists() && !data.exists());
}
