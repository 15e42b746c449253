//! Pools that follow the demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use soulbox_image::record::TemplateRecord;
use soulbox_model::{ByteSize, SandboxSpec, TeamId, TemplateName};
use soulbox_node::lease::{Holder, Lease, LeaseError, SLOTS, Table};
use soulbox_node::template::TemplateStore;
use soulbox_node::{Birth, CreateError, KindLevel, Node, Sandbox, Script};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use std::sync::Arc;
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
        script: Some(Script::Plain),
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

/// A table of slots of the test's own, in which only so many are free: those that it has taken in the table
/// of the machine, so that nobody else has what bears their numbers.
fn few_places(place: &Place, free: usize) -> Vec<Lease> {
    let me = Holder::of(std::process::id()).unwrap();
    let machine = Table::open(&place.settings(&[]).paths.machine_dir).unwrap();
    let machine = Arc::new(machine);
    let mut held: Vec<_> = (0..free).map(|_| machine.take(me, 0).unwrap()).collect();
    let numbers: Vec<_> = held.iter().map(Lease::slot).collect();
    let own = Arc::new(Table::open(&place.path("machine")).unwrap());
    let all = (1..SLOTS).map(|_| own.take(me, 0).unwrap());
    held.extend(all.filter(|lease| !numbers.contains(&lease.slot())));
    held
}

fn waiting(node: &Node) -> usize {
    node.pools().iter().map(|level| level.ready).sum()
}

#[tokio::test]
async fn what_waits_gives_way_to_who_asks() {
    let place = Place::new();
    let held = few_places(&place, 5);
    // One more than is needed, so that it is this bound that counts: three places.
    let most = (SLOTS - 1 - 5 + 3).to_string();
    let machine = place.path("machine");
    let node = place
        .node(&[
            ("machine_dir", machine.to_str().unwrap()),
            ("node.max_sandboxes", &most),
            ("pool.parked", "2"),
        ])
        .await;
    node.keep_ready(spec(&node), None, None);
    node.pools_filled().await;
    let mut all = vec![node.create(spec(&node)).await.unwrap()];
    node.pools_filled().await;
    assert_eq!(waiting(&node), 2, "all places are taken");
    let mut other = spec(&node);
    other.limits.memory = ByteSize(96 << 20);
    let create = |spec: &SandboxSpec| node.create(spec.clone());
    // Both at once, so that neither may take the place that the other one has made.
    let (one, another) = tokio::join!(create(&other), create(&other));
    all.extend([one.unwrap(), another.unwrap()]);
    assert_eq!(waiting(&node), 0);
    match create(&other).await.map(drop) {
        Err(CreateError::Lease(LeaseError::Most { .. })) => {}
        other => panic!("{other:?}"),
    }
    // What is free now is not taken by what would only wait.
    all.remove(0).destroy().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(waiting(&node), 0);
    all.push(create(&other).await.unwrap());
    assert_eq!(shell(&all[0], "user", "echo here").await.stdout, "here\n");
    for sandbox in all {
        sandbox.destroy().await;
    }
    node.stop().await;
    drop(held);
}

/// What a command prints that names no user, no directory and no variables.
async fn printed(sandbox: &Sandbox, script: &str) -> String {
    let request = StartRequest {
        cmd: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        ..StartRequest::default()
    };
    let mut process = sandbox.agent().start(&request).await.unwrap();
    let mut stdout = String::new();
    while let Some(event) = process.next().await.unwrap() {
        if let ProcessEvent::Stdout(bytes) = event {
            stdout += &String::from_utf8_lossy(&bytes);
        }
    }
    stdout
}

#[tokio::test]
async fn what_a_template_says_is_so_in_sandboxes_that_waited_and_in_others() {
    let place = Place::new();
    let look = "id -un; pwd; echo $A $B $LANG";
    let plain = place.node(&[]).await;
    let sandbox = plain.create(spec(&plain)).await.unwrap();
    assert_eq!(printed(&sandbox, look).await, "user\n/home/user\nC.UTF-8\n");
    sandbox.destroy().await;
    plain.stop().await;
    drop(plain);
    drop(TemplateStore::new(&place.path("data")).get(&TemplateName::host()));
    let directory = place.path("data/templates/host");
    let mut record = TemplateRecord::read(&directory).unwrap();
    record.user = "root".to_owned();
    record.workdir = Some("/var/tmp".into());
    let env = [("A", "of-the-template"), ("B", "of-the-template")];
    record.env = env
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    std::fs::remove_file(directory.join("template.json")).unwrap();
    record.write(&directory).unwrap();
    let node = place.node(&[("pool.parked", "1")]).await;
    let birth = |own: &[&str]| Birth {
        variables: own
            .iter()
            .map(|own| ("B".to_owned(), (*own).to_owned()))
            .collect(),
        ..Birth::default()
    };
    for own in [&[][..], &["own"]] {
        let expected = match own {
            [] => "root\n/var/tmp\nof-the-template of-the-template C.UTF-8\n",
            _ => "root\n/var/tmp\nof-the-template own C.UTF-8\n",
        };
        let cold = node.create_as(spec(&node), birth(own)).await.unwrap();
        assert_eq!(printed(&cold, look).await, expected);
        cold.destroy().await;
    }
    node.keep_ready(spec(&node), None, None);
    for (taken, own) in [(1, &[][..]), (2, &["own"])] {
        node.pools_filled().await;
        let parked = node.create_as(spec(&node), birth(own)).await.unwrap();
        assert_eq!(node.kinds()[0].level.taken, taken);
        let b = own.first().unwrap_or(&"of-the-template");
        let expected = format!("root\n/var/tmp\nof-the-template {b} C.UTF-8\n");
        assert_eq!(printed(&parked, look).await, expected);
        parked.destroy().await;
    }
    node.stop().await;
}

/// The process that made a sandbox.
fn spawner(sandbox: &Sandbox) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sandbox.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_refill_that_is_killed_is_begun_again_and_nothing_dead_is_handed_out() {
    let place = Place::new();
    let node = place.node(&[("pool.parked", "6")]).await;
    let first = node.create(spec(&node)).await.unwrap();
    let lost = spawner(&first);
    node.keep_ready(spec(&node), None, None);
    // In the middle: some wait, others are being made.
    let begun = |kinds: &[KindLevel]| kinds.iter().any(|kind| (1..6).contains(&kind.level.ready));
    until(&node, begun).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(lost).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    first.ended().await;
    node.pools_filled().await;
    assert_eq!(waiting(&node), 6);
    let mut all = Vec::new();
    for _ in 0..6 {
        let sandbox = node.create(spec(&node)).await.unwrap();
        assert_ne!(spawner(&sandbox), lost);
        assert_eq!(printed(&sandbox, "echo here").await, "here\n");
        all.push(sandbox);
    }
    assert!(node.kinds().iter().any(|kind| kind.level.taken >= 6));
    for sandbox in all {
        sandbox.destroy().await;
    }
    node.stop().await;
    drop(node);
    assert_eq!(support::entries(&place.path("run/engines")), 0);
    assert_eq!(support::entries(&place.path("data/sandboxes")), 0);
}
