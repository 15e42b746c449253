//! Pools that follow the demand.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use soulbox_node::{KindLevel, Node};
use std::time::Duration;
use support::{Place, shell, spec};

/// Waits until the kinds are as wanted.
async fn until(node: &Node, wanted: impl Fn(&[KindLevel]) -> bool) -> Vec<KindLevel> {
    let patience = Duration::from_secs(30);
    let looking = async {
        loop {
            let kinds = node.kinds();
            if wanted(&kinds) {
                return kinds;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(patience, looking).await;
    found.unwrap_or_else(|_| panic!("{:?}", node.kinds()))
}

#[tokio::test]
async fn what_is_asked_for_waits_and_what_is_not_goes() {
    let place = Place::new();
    let settings = place.settings(&[("pool.keep", "3s"), ("pool.parked", "0")]);
    let node = Node::start_lasting(settings).await.unwrap();
    let first = node.create(spec(&node)).await.unwrap();
    let kinds = until(&node, |kinds| {
        kinds.iter().any(|kind| kind.level.ready > 0)
    });
    let kinds = kinds.await;
    assert_eq!(kinds.len(), 1);
    assert_eq!((kinds[0].level.taken, kinds[0].spec == spec(&node)), (0, true));
    let second = node.create(spec(&node)).await.unwrap();
    assert_eq!(node.kinds()[0].level.taken, 1, "it was taken from the pool");
    assert_eq!(shell(&second, "user", "echo here").await.stdout, "here\n");
    for sandbox in [first, second] {
        sandbox.destroy().await;
    }
    // Nobody asks any more.
    until(&node, <[_]>::is_empty).await;
    node.stop().await;
}

#[tokio::test]
async fn there_is_no_more_than_the_memory_of_the_pools_holds() {
    let place = Place::new();
    let settings = place.settings(&[("pool.memory", "2M"), ("pool.parked", "0")]);
    let node = Node::start_lasting(settings).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(node.create(spec(&node)).await.unwrap());
    }
    let kinds = until(&node, |kinds| {
        kinds.iter().any(|kind| kind.level.ready == 2)
    });
    assert_eq!(kinds.await[0].level.wanted, 2);
    for sandbox in all {
        sandbox.destroy().await;
    }
    node.stop().await;
}
