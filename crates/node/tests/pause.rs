//! Sandboxes that stand still and go on, and what they use.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use soulbox_node::PauseError;
use std::time::Duration;
use support::{Place, cgroups, shell, spec};

#[tokio::test]
async fn a_paused_sandbox_stands_still_goes_on_and_can_be_ended() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    shell(&sandbox, "user", "(while :; do :; done) >/dev/null 2>&1 &").await;
    assert!(matches!(sandbox.resume().await, Err(PauseError::NotPaused)));
    sandbox.pause().await.unwrap();
    let again = sandbox.pause().await;
    assert!(matches!(again, Err(PauseError::AlreadyPaused)), "{again:?}");
    // Nothing in it runs: it uses no processor time, and nobody answers.
    let before = sandbox.metrics().await.unwrap();
    let answer = shell(&sandbox, "user", "true");
    let silent = tokio::time::timeout(Duration::from_millis(100), answer).await;
    assert!(silent.is_err());
    let after = sandbox.metrics().await.unwrap();
    assert_eq!(before.cpu.unwrap(), after.cpu.unwrap());
    assert!(before.cpu.unwrap() > Duration::ZERO);
    sandbox.resume().await.unwrap();
    let said = shell(&sandbox, "user", "echo here").await;
    assert_eq!(said.stdout, "here\n");
    let busy = sandbox.metrics().await.unwrap();
    assert!(busy.cpu > after.cpu);
    assert!(matches!(sandbox.resume().await, Err(PauseError::NotPaused)));
    sandbox.pause().await.unwrap();
    assert!(sandbox.usage().await.unwrap().peak_memory.bytes() > 0);
    let slot = sandbox.slot();
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, sandbox.destroy())
        .await
        .unwrap();
    assert!(cgroups(slot).is_empty());
    node.stop().await;
}

#[tokio::test]
async fn metrics_follow_what_is_used() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    let limits = &sandbox.spec().limits;
    let before = sandbox.metrics().await.unwrap();
    let script = "head -c 32M /dev/zero > /tmp/file; (sleep 60; sleep 60) >/dev/null 2>&1 &";
    shell(&sandbox, "user", script).await;
    let after = sandbox.metrics().await.unwrap();
    let grew = |then: Option<soulbox_model::ByteSize>, now: Option<soulbox_model::ByteSize>| {
        now.unwrap().bytes().saturating_sub(then.unwrap().bytes())
    };
    let file = 32 << 20;
    assert!((file..file * 3 / 2).contains(&grew(before.disk, after.disk)));
    assert!((file..file * 3 / 2).contains(&grew(before.memory, after.memory)));
    assert!(grew(before.cache, after.cache) < file / 2);
    assert_eq!(after.memory_limit, limits.memory_max);
    assert!(after.disk_limit.unwrap() >= after.disk.unwrap());
    assert!(after.pids.unwrap() > before.pids.unwrap());
    assert!(after.cpu.unwrap() >= before.cpu.unwrap());
    sandbox.destroy().await;
    node.stop().await;
}

#[tokio::test]
async fn a_paused_sandbox_ends_with_its_spawner() {
    let place = Place::new();
    let node = place.node(&[]).await;
    let sandbox = node.create(spec(&node)).await.unwrap();
    sandbox.pause().await.unwrap();
    let (slot, pid) = (sandbox.slot(), sandbox.pid());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let spawner = rustix::process::Pid::from_raw(line.unwrap().trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
    sandbox.ended().await;
    node.create(spec(&node)).await.unwrap().destroy().await;
    assert!(cgroups(slot).is_empty());
    assert_eq!(soulbox_runtime::native::identity::started(pid), None);
    node.stop().await;
}
