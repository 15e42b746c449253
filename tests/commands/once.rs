//! Requests that are repeated, whatever was cut: exactly one sandbox, exactly one run.

use crate::http::{Answer, ask, request, send};
use crate::proxy::{Cut, carry};
use crate::server::{Server, path};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many work on the cuts at once.
const AT_ONCE: usize = 4;

fn keyed(server: &Server, key: &str, target: &str, body: &Value) -> Answer {
    let headers = [("Idempotency-Key", key)];
    ask(
        server,
        "POST",
        target,
        &headers,
        body.to_string().as_bytes(),
    )
}

/// Every cut of an exchange: the request's bytes and the answer's.
fn cuts(request: usize, answer: usize) -> Vec<Cut> {
    let requests = (0..=request).map(Cut::Request);
    requests.chain((0..=answer).map(Cut::Answer)).collect()
}

/// Does all of them, several at once.
fn each(cuts: &[Cut], act: impl Fn(usize, Cut) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cut) = cuts.get(number) else { return };
                    act(number, *cut);
                }
            });
        }
    });
}

/// Sends a request through a proxy that cuts it, then again without one.
fn cut_and_repeat(server: &Server, cut: Cut, key: &str, target: &str, body: &Value) -> Value {
    let headers = [("Idempotency-Key", key)];
    let bytes = request(
        server,
        "POST",
        target,
        &headers,
        body.to_string().as_bytes(),
    );
    let cut_short = carry(server.address(), cut, |address| {
        // Whether an answer came does not matter: this client asks again.
        let _ = send(address, &bytes);
    });
    cut_short.expect("a proxy");
    let answer = send(server.address(), &bytes).expect("an answer");
    answer.expect(201).json()
}

/// The length of an answer to such a request.
fn length(server: &Server, target: &str, body: &Value) -> usize {
    let headers = [("Idempotency-Key", "length")];
    let bytes = request(
        server,
        "POST",
        target,
        &headers,
        body.to_string().as_bytes(),
    );
    let mut answer = None;
    let carried = carry(server.address(), Cut::Answer(usize::MAX), |address| {
        answer = Some(send(address, &bytes).expect("an answer"));
    });
    answer.expect("an answer").expect(201);
    carried.expect("a proxy")
}

#[test]
fn a_command_runs_once_wherever_its_exchange_is_cut() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let asked = |number: usize| {
        // All bodies have the same length.
        let script = format!("echo {number:05} >> /tmp/runs");
        json!({"cmd": ["/bin/sh", "-c", script]})
    };
    let body = asked(99_999);
    let key = |number: usize| format!("key-{number:05}");
    let answer = length(&server, &target, &body);
    let sent = request(
        &server,
        "POST",
        &target,
        &[("Idempotency-Key", &key(0))],
        body.to_string().as_bytes(),
    );
    let cuts = cuts(sent.len(), answer);
    each(&cuts, |number, cut| {
        let command = cut_and_repeat(&server, cut, &key(number), &target, &asked(number));
        let ended = server.wait(&command);
        assert_eq!(ended["exit_code"], 0, "{cut:?} {ended}");
    });
    let runs = server.command(&sandbox, &json!({"cmd": ["cat", "/tmp/runs"]}));
    server.wait(&runs);
    let runs = server.get(&format!("{}/stdout", path(&runs))).text();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for line in runs.lines() {
        *times.entry(line).or_default() += 1;
    }
    // The one for the length is there, too.
    assert_eq!(times.len(), cuts.len() + 1);
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "not once: {twice:?}");
}

#[test]
fn a_sandbox_is_made_once_wherever_the_exchange_is_cut() {
    // No sandbox that another one's create could wait for.
    let server = Server::start_with(&[("SOULBOX_POOL_PARKED", "0")]);
    let asked = |number: usize| {
        json!({
            "templateID": "host",
            "timeout": 600,
            "allow_internet_access": false,
            "metadata": {"number": format!("{number:05}")},
        })
    };
    let body = asked(99_999);
    let key = |number: usize| format!("key-{number:05}");
    let answer = length(&server, "/v2/sandboxes", &body);
    let sent = request(
        &server,
        "POST",
        "/v2/sandboxes",
        &[("Idempotency-Key", &key(0))],
        body.to_string().as_bytes(),
    );
    each(&cuts(sent.len(), answer), |number, cut| {
        let body = asked(number);
        let made = cut_and_repeat(&server, cut, &key(number), "/v2/sandboxes", &body);
        let listed = server.get(&format!("/v2/sandboxes?metadata=number%3D{number:05}"));
        let listed = listed.expect(200).json();
        let ids: Vec<_> = listed.as_array().expect("a list").iter().collect();
        assert_eq!(ids.len(), 1, "{cut:?}: {listed}");
        assert_eq!(ids[0]["sandboxID"], made["sandboxID"], "{cut:?}");
        let id = made["sandboxID"].as_str().expect("an id");
        server
            .ask("DELETE", &format!("/sandboxes/{id}"), b"")
            .expect(204);
    });
    let left = server.get("/v2/sandboxes").expect(200).json();
    // The one for the length.
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
}

#[test]
fn a_repeated_request_gets_the_first_result() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let body = json!({"cmd": ["/bin/sh", "-c", "echo run >> /tmp/runs"]});
    let first = keyed(&server, "k", &target, &body).expect(201).json();
    let again = keyed(&server, "k", &target, &body).expect(201).json();
    assert_eq!(first["id"], again["id"]);
    let other = json!({"cmd": ["true"]});
    let refused = keyed(&server, "k", &target, &other).expect(422).json();
    assert_eq!(refused["code"], 422);
    // Another route, another sandbox: another request.
    let elsewhere = format!("/v1/sandboxes/{}/commands", server.sandbox());
    let elsewhere = keyed(&server, "k", &elsewhere, &other).expect(201).json();
    assert_ne!(elsewhere["id"], first["id"]);
    let (one, two) = thread::scope(|scope| {
        let ask = || keyed(&server, "at-once", &target, &body).expect(201).json();
        let one = scope.spawn(ask);
        let two = scope.spawn(ask);
        (one.join().expect("one"), two.join().expect("two"))
    });
    assert_eq!(one["id"], two["id"]);
}

#[test]
fn a_request_that_failed_leaves_its_key_free() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let wrong = json!({"cmd": ["/not/there"]});
    let refused = keyed(&server, "k", &target, &wrong).expect(400).json();
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("/not/there"), "{refused}");
    keyed(&server, "k", &target, &json!({"cmd": ["true"]})).expect(201);
    let missing = json!({"templateID": "nosuch"});
    keyed(&server, "c", "/v2/sandboxes", &missing).expect(404);
    let there = json!({"templateID": "host"});
    keyed(&server, "c", "/v2/sandboxes", &there).expect(201);
    let commands = server.get(&target).expect(200).json();
    assert_eq!(commands["commands"].as_array().map(Vec::len), Some(1));
}
