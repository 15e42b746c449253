//! More at once than there is room for, and more one after another than could be kept.

use crate::ground::{
    PLAIN, api, create, descriptors, descriptors_of, kill, list, memory, memory_of, never_panicked,
    serve, soon,
};
use crate::left::Left;
use soulbox_tests::Soulbox;
use soulbox_tests::server::Server;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// One is made and four wait; whoever comes then is sent away.
#[test]
fn what_is_beyond_the_queue_is_told_when_to_come_again() {
    let settings = [
        ("SOULBOX_SERVER_CREATES", "1"),
        ("SOULBOX_SERVER_QUEUE", "4"),
        ("SOULBOX_POOL_PARKED", "0"),
    ];
    let server = serve(&Arc::new(Soulbox::new()), &settings);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || api(&server, "POST", "/v2/sandboxes", PLAIN);
        let asked: Vec<_> = (0..64).map(|_| scope.spawn(ask)).collect();
        asked
            .into_iter()
            .map(|asked| asked.join().expect("an answer"))
            .collect()
    });
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(answer.json["code"], 429, "{answer:?}");
        assert!(answer.message().contains("server.queue"), "{answer:?}");
        assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
    }
    assert!((5..64).contains(&made), "{made} were made");
    let listed = list(&server);
    assert_eq!(listed.len(), made);
    for id in listed {
        assert_eq!(kill(&server, &id).status, 204);
    }
    create(&server);
    never_panicked(&server);
}

/// How many make and end sandboxes at once.
const AT_ONCE: usize = 4;
/// How many sandboxes are made before it is looked what is taken: threads, caches and the like come with the first.
const WARM: usize = 40;

/// Makes and ends so many sandboxes.
fn cycles(server: &Server, many: usize, left: &Left) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < many {
                    let (id, _) = create(server);
                    left.note_slots();
                    assert_eq!(kill(server, &id).status, 204);
                }
            });
        }
    });
}

/// What a server and its spawner have while no sandbox is listed.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Of the server and of its spawner.
    descriptors: [usize; 2],
    /// Of both, in kibibytes.
    memory: [u64; 2],
    processes: usize,
    slots: usize,
}

impl Taken {
    fn by(server: &Server, left: &Left) -> Self {
        let spawners = left.spawners();
        assert_eq!(spawners.len(), 1, "one spawner");
        let spawner = spawners.into_iter().next().expect("one");
        Self {
            descriptors: [descriptors(server), descriptors_of(spawner)],
            memory: [memory(server), memory_of(spawner)],
            processes: left.processes(server).len(),
            slots: left.held().len(),
        }
    }

    /// Whether that is no more than `before`; memory is looked at by itself. A connection may just be closing.
    fn is_within(&self, before: &Self) -> bool {
        let pairs = self.descriptors.iter().zip(before.descriptors);
        self.processes <= before.processes
            && self.slots <= before.slots
            && pairs.into_iter().all(|(now, before)| *now <= before + 4)
    }
}

/// Waits until all pools are as full as they are to be: what they hold is taken then, and no sandbox is on its way.
fn pools_are_full(server: &Server) {
    let full = || {
        let told = api(server, "GET", "/metrics", b"").body;
        let figures = |name: &str| {
            let lines = told.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let wanted = figures("soulbox_node_pool_wanted");
        !wanted.is_empty() && wanted == figures("soulbox_node_pool_ready")
    };
    soon(|| "pools are full", full);
}

/// `SOULBOX_FAULTS_SANDBOXES=10000` is the long form.
#[test]
fn sandboxes_one_after_another_leave_nothing() {
    let wanted = std::env::var("SOULBOX_FAULTS_SANDBOXES").ok();
    let wanted: usize = wanted.map_or(200, |text| text.parse().expect("a number"));
    // So few ended ones are remembered that all of them are forgotten over and over.
    // Pools that follow the demand would hold more after it than before.
    let settings = [
        ("SOULBOX_SERVER_KEEP_ENDED", "20"),
        ("SOULBOX_POOL_PARKED", "2"),
        ("SOULBOX_POOL_ADAPTIVE", "false"),
    ];
    let server = serve(&Arc::new(Soulbox::new()), &settings);
    let left = Left::of(server.home());
    let taken = || {
        pools_are_full(&server);
        Taken::by(&server, &left)
    };
    cycles(&server, WARM, &left);
    let before = taken();
    let began = Instant::now();
    cycles(&server, wanted / 2, &left);
    let took = began.elapsed();
    let half = taken();
    cycles(&server, wanted - wanted / 2, &left);
    assert_eq!(list(&server).len(), 0);
    soon(
        || format!("{before:?}, then {:?}", taken()),
        || taken().is_within(&before),
    );
    let after = taken();
    let each = took / u32::try_from(wanted / 2).expect("few");
    println!("{wanted} sandboxes, one each {each:?}: {before:?}, {half:?}, {after:?}");
    // The spawner keeps how the last 4,096 ended, a kilobyte for each; the server the last changes.
    for (index, now) in after.memory.into_iter().enumerate() {
        let most = (before.memory[index] + 8 * 1024).min(half.memory[index] + 4 * 1024);
        assert!(now < most, "{before:?}, {half:?}, {after:?}");
    }
    never_panicked(&server);
    left.note(&server);
    assert!(server.stop().success());
    left.is_nothing();
}
