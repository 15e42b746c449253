//! `kill -9` at random moments while sandboxes are made and ended.
//!
//! `SOULBOX_FAULTS_ROUNDS=100` is the long form; `SOULBOX_FAULTS_SEED` repeats a run.

use crate::ground::{
    Dice, PLAIN, api, create, kill, list, never_panicked, serve, soon, token, works,
};
use crate::left::Left;
use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::Soulbox;
use soulbox_tests::http::try_ask;
use soulbox_tests::server::Server;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn number(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |text| text.parse().expect("a number"))
}

/// What a server acknowledged.
#[derive(Default)]
struct Acknowledged {
    made: Mutex<BTreeSet<String>>,
    /// Those whose end was asked for.
    ending: Mutex<BTreeSet<String>>,
    ended: Mutex<BTreeSet<String>>,
    keys: Mutex<BTreeSet<String>>,
}

/// Makes and ends sandboxes and makes keys until it is told to stop, or nobody answers.
fn load(address: &str, key: &str, done: &AtomicBool, told: &Acknowledged, seed: u64) {
    let mut dice = Dice(seed);
    let auth = [("X-API-KEY", key)];
    while !done.load(Ordering::Relaxed) {
        let Some(made) = try_ask(address, "POST", "/v2/sandboxes", &auth, PLAIN) else {
            return;
        };
        let Some(id) = made.json["sandboxID"].as_str().map(str::to_owned) else {
            continue;
        };
        told.made.lock().expect("no panic").insert(id.clone());
        if dice.below(3) > 0 {
            told.ending.lock().expect("no panic").insert(id.clone());
            let path = format!("/sandboxes/{id}");
            let Some(ended) = try_ask(address, "DELETE", &path, &auth, b"") else {
                return;
            };
            // It may have died of the kill before.
            if ended.status == 204 {
                told.ended.lock().expect("no panic").insert(id);
            }
        } else {
            let body = format!(r#"{{"name":"{id}"}}"#);
            let Some(named) = try_ask(address, "POST", "/api-keys", &auth, body.as_bytes()) else {
                return;
            };
            if named.status == 201 {
                told.keys.lock().expect("no panic").insert(id);
            }
        }
    }
}

/// Runs the load beside `act`.
fn beside(server: &Server, seed: u64, act: impl FnOnce()) -> Acknowledged {
    let (address, key) = (server.address().to_owned(), server.key().to_owned());
    let (done, told) = (AtomicBool::new(false), Acknowledged::default());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (address, key, done, told) = (&address, &key, &done, &told);
            scope.spawn(move || load(address, key, done, told, seed * 10 + thread));
        }
        act();
        done.store(true, Ordering::Relaxed);
    });
    told
}

/// The names of a server's keys.
fn keys(server: &Server) -> BTreeSet<String> {
    let listed = api(server, "GET", "/api-keys", b"");
    assert_eq!(listed.status, 200, "{listed:?}");
    let keys = listed.json.as_array().expect("an array").clone();
    keys.iter()
        .filter_map(|key| Some(key["name"].as_str()?.to_owned()))
        .collect()
}

/// Those that are listed and do not work, though they are still listed afterwards.
fn dead(server: &Server) -> Vec<String> {
    let works =
        |id: &String| token(server, id).is_some_and(|token| works(server, &(id.clone(), token)));
    let silent: Vec<String> = list(server).into_iter().filter(|id| !works(id)).collect();
    let listed = list(server);
    silent
        .into_iter()
        .filter(|id| listed.contains(id))
        .collect()
}

/// What ended is not listed, and no acknowledged key is missing.
fn tells_the_truth(server: &Server, told: &Acknowledged) {
    let listed = list(server);
    let ended = told.ended.lock().expect("no panic");
    let wrong: Vec<_> = listed.intersection(&ended).collect();
    assert!(wrong.is_empty(), "{wrong:?} had ended");
    let expected = told.keys.lock().expect("no panic");
    let kept = keys(server);
    let lost: Vec<_> = expected.difference(&kept).collect();
    assert!(lost.is_empty(), "keys {lost:?} are lost");
}

#[test]
fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let (rounds, seed) = (
        number("SOULBOX_FAULTS_ROUNDS", 4),
        number("SOULBOX_FAULTS_SEED", 7),
    );
    let soulbox = Arc::new(Soulbox::new());
    let settings = [("SOULBOX_POOL_PARKED", "2")];
    let mut dice = Dice(seed);
    let mut server = serve(&soulbox, &settings);
    let left = Left::of(soulbox.home());
    let mut survived = 0;
    for round in 0..rounds {
        let wait = Duration::from_millis(50 + dice.below(1500));
        let told = beside(&server, seed + round, || {
            std::thread::sleep(wait);
            left.note(&server);
            let _ = kill_process(server.pid(), Signal::KILL);
        });
        server.kill();
        server = serve(&soulbox, &settings);
        let place = format!("round {round}, seed {seed}: {}", server.log());
        tells_the_truth(&server, &told);
        // They outlive the server, and the next one has all of them.
        let listed = list(&server);
        let made = told.made.lock().expect("no panic");
        let ending = told.ending.lock().expect("no panic");
        let alive: BTreeSet<_> = made.difference(&ending).cloned().collect();
        let lost: Vec<_> = alive.difference(&listed).collect();
        assert!(lost.is_empty(), "{lost:?} are lost; {place}");
        assert_eq!(dead(&server), Vec::<String>::new(), "{place}");
        survived += alive.len();
        for id in listed {
            assert_eq!(kill(&server, &id).status, 204, "{place}");
        }
        let fresh = create(&server);
        assert!(works(&server, &fresh), "{place}");
    }
    assert!(survived > 0, "no sandbox lived at a kill");
    never_panicked(&server);
    left.note(&server);
    assert!(server.stop().success());
    left.is_nothing();
}

#[test]
fn a_killed_spawner_or_agent_is_noticed_and_the_server_goes_on() {
    let (rounds, seed) = (
        number("SOULBOX_FAULTS_ROUNDS", 4),
        number("SOULBOX_FAULTS_SEED", 9),
    );
    let settings = [("SOULBOX_POOL_PARKED", "2")];
    let server = serve(&Arc::new(Soulbox::new()), &settings);
    let left = Left::of(server.home());
    let mut dice = Dice(seed);
    let mut killed = 0;
    for round in 0..rounds {
        let agents = round % 2 == 0;
        let wait = Duration::from_millis(100 + dice.below(800));
        let told = beside(&server, seed + round, || {
            create(&server);
            std::thread::sleep(wait);
            left.note(&server);
            let spawners = left.spawners();
            let mut all = left.processes(&server);
            all.retain(|process| match agents {
                true => spawners.contains(&process.parent),
                false => spawners.contains(&process.pid),
            });
            let index = usize::try_from(dice.below(all.len().max(1) as u64)).expect("few");
            if let Some(victim) = all.get(index) {
                let pid = Pid::from_raw(victim.pid).expect("a process");
                killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
            }
        });
        soon(
            || "what died is listed no more",
            || dead(&server).is_empty(),
        );
        tells_the_truth(&server, &told);
        soon(
            || "sandboxes are made again",
            || api(&server, "POST", "/v2/sandboxes", PLAIN).status == 201,
        );
        for id in list(&server) {
            kill(&server, &id);
        }
    }
    assert!(killed > 0, "nothing was killed");
    never_panicked(&server);
    left.note(&server);
    assert!(server.stop().success());
    left.is_nothing();
}
