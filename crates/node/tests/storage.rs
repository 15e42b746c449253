//! Layers on disk: many at once, and their room afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use soulbox_model::{ByteSize, Limits, SandboxSpec};
use soulbox_node::{CreateError, Node};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Place, shell, spec};

const POOL: [(&str, &str); 2] = [("storage.backend", "btrfs"), ("storage.size", "512M")];

fn left(node: &Node) -> u64 {
    let (name, room) = node.room().unwrap();
    assert_eq!(name, "btrfs");
    room.unwrap().left
}

fn with_disk(node: &Node, disk: ByteSize) -> SandboxSpec {
    let limits = Limits {
        memory: ByteSize::mib(64),
        disk,
        ..node.settings().sandbox.limits()
    };
    SandboxSpec {
        limits,
        ..spec(node)
    }
}

#[tokio::test]
async fn many_sandboxes_share_the_room_and_give_it_back() {
    let place = Place::new();
    let node = place.node(&POOL).await;
    let before = left(&node);
    let tasks: Vec<_> = (0..24)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let asked = with_disk(&node, ByteSize::mib(16));
                let sandbox = node.create(asked).await.unwrap();
                let script =
                    "head -c 8M /dev/zero >/tmp/x && sync /tmp/x && df -P /dev/shm | tail -1";
                let written = shell(&sandbox, "user", script).await;
                assert_eq!(written.code, Some(0), "{written:?}");
                // Half of its memory.
                assert!(written.stdout.contains(" 32768 "), "{written:?}");
                assert!(!sandbox.disk_is_full());
                sandbox.destroy().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let end = Instant::now() + Duration::from_secs(30);
    while left(&node) + (1 << 20) < before {
        assert!(
            Instant::now() < end,
            "{} of {before} came back",
            left(&node)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_full_layer_is_seen_from_outside_and_spares_the_neighbour() {
    let place = Place::new();
    let node = place.node(&POOL).await;
    let full = node
        .create(with_disk(&node, ByteSize::mib(20)))
        .await
        .unwrap();
    let other = node
        .create(with_disk(&node, ByteSize::mib(20)))
        .await
        .unwrap();
    let output = shell(&full, "user", "cat /dev/zero >/tmp/x").await;
    assert!(output.stderr.contains("Disk quota exceeded"), "{output:?}");
    assert!(full.disk_is_full() && !other.disk_is_full());
    // Deleting makes room again.
    let output = shell(&full, "user", "rm /tmp/x && head -c 10M /dev/zero >/tmp/y").await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = shell(&other, "user", "head -c 18M /dev/zero >/tmp/x").await;
    assert_eq!(output.code, Some(0), "{output:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_pool_without_room_takes_no_more() {
    let place = Place::new();
    let mut settings = POOL.to_vec();
    settings.push(("storage.reserve", "600M"));
    let node = place.node(&settings).await;
    let refused = node.create(spec(&node)).await.err().unwrap();
    assert!(matches!(refused, CreateError::Storage(_)), "{refused}");
    assert!(refused.to_string().contains("storage.reserve"), "{refused}");
    node.stop().await;
}
