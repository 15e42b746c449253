//! Who takes all processors leaves one to others while they want some.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use soulbox_model::Limits;
use soulbox_node::Sandbox;
use soulbox_runtime::native::rights;
use soulbox_wire::spawner::Ids;
use std::time::{Duration, Instant};
use support::{Place, shell, spec};

/// How long a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// On how many processors a sandbox's first process may run.
fn processors(sandbox: &Sandbox) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sandbox.pid())).unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed:"));
    let digits = mask.unwrap().trim().replace(',', "");
    let bits = digits
        .chars()
        .map(|digit| digit.to_digit(16).unwrap().count_ones());
    usize::try_from(bits.sum::<u32>()).unwrap()
}

/// Runs commands in `other` until `hog` has so many processors.
async fn until(hog: &Sandbox, other: Option<&Sandbox>, count: usize) {
    let begin = Instant::now();
    while processors(hog) != count {
        assert!(begin.elapsed() < PATIENCE, "{} of {count}", processors(hog));
        match other {
            Some(other) => drop(
                shell(
                    other,
                    "user",
                    "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done",
                )
                .await,
            ),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn who_takes_all_processors_leaves_one_to_others() {
    let all = std::thread::available_parallelism().unwrap().get();
    let is_root = matches!(rights::of_process(0), Ok(Ids::Machine { .. }));
    let is_assigned = std::path::Path::new("/sys/fs/cgroup/cpuset").exists()
        || std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|offered| offered.contains("cpuset"));
    if all < 2 || !is_root || !is_assigned {
        eprintln!("skipped: it takes root, two processors and the controller cpuset");
        return;
    }
    let place = Place::new();
    let node = place.node(&[]).await;
    let greedy = soulbox_model::SandboxSpec {
        limits: Limits {
            cpu_millis: u32::try_from(all).unwrap() * 1000,
            ..spec(&node).limits
        },
        ..spec(&node)
    };
    let hog = node.create(greedy).await.unwrap();
    let other = node.create(spec(&node)).await.unwrap();
    let spin = format!(
        "for i in $(seq {}); do (while :; do :; done) >/dev/null 2>&1 & done",
        all * 2
    );
    shell(&hog, "user", &spin).await;
    until(&hog, Some(&other), all - 1).await;
    assert_eq!(processors(&other), all);
    // The others want no more.
    until(&hog, None, all).await;
    node.stop().await;
}
