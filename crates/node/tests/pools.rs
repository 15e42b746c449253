//! Pools that follow the demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use soulbox_model::TeamId;
use soulbox_node::{Birth, KindLevel, Node, Sandbox, Script};
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
    let kinds = until(&node, |kinds| kinds.iter().any(|kind| kind.level.ready > 0));
    let kinds = kinds.await;
    assert_eq!(kinds.len(), 1);
    assert_eq!(
        (kinds[0].level.taken, kinds[0].spec == spec(&node)),
        (0, true)
    );
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

/// As runs are made for a team.
async fn run_of(node: &Node, team: &str) -> Sandbox {
    let birth = Birth {
        team: Some(team.parse().unwrap()),
        script: Some(Script { packages: false }),
        variables: [("SECRET".to_owned(), format!("of-{team}"))].into(),
        ..Birth::default()
    };
    node.create_as(spec(node), birth).await.unwrap()
}

#[tokio::test]
async fn what_waits_is_one_teams_and_knows_nothing_of_those_before() {
    let place = Place::new();
    let settings = place.settings(&[("pool.parked", "0")]);
    let node = Node::start_lasting(settings).await.unwrap();
    let first = run_of(&node, "red").await;
    let plant = "echo canary | tee /tmp/c /home/user/c /dev/shm/c; (sleep 1000 >/dev/null 2>&1 &)";
    shell(&first, "user", plant).await;
    let red: TeamId = "red".parse().unwrap();
    until(&node, |kinds| kinds.iter().any(|kind| kind.level.ready > 0)).await;
    first.destroy().await;
    // Another team's is no red one.
    let blue = run_of(&node, "blue").await;
    let kinds = node.kinds();
    let taken = |kinds: &[KindLevel], team: &TeamId| {
        let theirs = kinds.iter().find(|kind| kind.team.as_ref() == Some(team));
        theirs.map(|kind| kind.level.taken)
    };
    assert_eq!(taken(&kinds, &red), Some(0), "{kinds:?}");
    let second = run_of(&node, "red").await;
    assert_eq!(
        taken(&node.kinds(), &red),
        Some(1),
        "it was taken from the pool"
    );
    assert_eq!(second.supplier().is_some(), node.may_connect());
    let look = "cat /proc/*/environ /tmp/* /home/user/* /dev/shm/* 2>&1 | tr '\\0' '\\n'; ps ax; echo $SECRET";
    let seen = shell(&second, "root", look).await.stdout;
    for poison in ["canary", "sleep 1000", "of-blue"] {
        assert!(!seen.contains(poison), "{poison} in {seen}");
    }
    assert!(seen.ends_with("of-red\n"), "{seen}");
    for sandbox in [blue, second] {
        sandbox.destroy().await;
    }
    node.stop().await;
}
