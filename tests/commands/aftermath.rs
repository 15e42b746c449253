//! After a crash of the server, and after a sandbox's end.

use crate::http::ask;
use crate::server::{Server, path};
use serde_json::{Value, json};

fn keyed(server: &Server, key: &str, target: &str, body: &Value) -> Value {
    let headers = [("Idempotency-Key", key)];
    let answer = ask(
        server,
        "POST",
        target,
        &headers,
        body.to_string().as_bytes(),
    );
    answer.expect(201).json()
}

#[test]
fn commands_are_known_after_the_end_of_their_sandbox() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let ended = server.command(&sandbox, &json!({"cmd": ["echo", "done"]}));
    server.wait(&ended);
    let script = "echo begun; exec sleep 1000";
    let running = server.command(&sandbox, &json!({"cmd": ["/bin/sh", "-c", script]}));
    // Its first output tells that it runs.
    let begun = format!("{}/stdout", path(&running));
    while server.get(&begun).expect(200).text().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let target = format!("{}/output?follow", path(&running));
    let follow = std::thread::scope(|scope| {
        let follow = scope.spawn(|| server.get(&target).text());
        server
            .ask("DELETE", &format!("/sandboxes/{sandbox}"), b"")
            .expect(204);
        follow.join().expect("an answer")
    });
    assert!(follow.contains("event: end"), "{follow}");
    let killed = server.wait(&running);
    assert_eq!(killed["state"], "killed", "{killed}");
    let detail = killed["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("its sandbox ended: killed"), "{killed}");
    let out = |command: &Value| server.get(&format!("{}/stdout", path(command)));
    assert_eq!(out(&ended).expect(200).text(), "done\n");
    let begun = out(&running).expect(200).text();
    assert!(begun == "begun\n" || begun.is_empty(), "{begun:?}");
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let refused = ask(&server, "POST", &target, &[], br#"{"cmd":["true"]}"#);
    refused.expect(404);
}

/// At no moment does a command of a sandbox that ends seem to start or to run still once its sandbox
/// is gone: neither while its end is on the way to the store, nor after.
#[test]
fn a_command_is_never_seen_to_run_in_a_sandbox_that_is_gone() {
    let server = Server::start();
    for round in 0..12 {
        let sandbox = server.sandbox();
        let commands: Vec<Value> = (0..8)
            .map(|_| server.command(&sandbox, &json!({"cmd": ["sleep", "1000"]})))
            .collect();
        server
            .ask("DELETE", &format!("/sandboxes/{sandbox}"), b"")
            .expect(204);
        for command in &commands {
            let seen = server.get(&path(command)).expect(200).json();
            assert_eq!(seen["state"], "killed", "round {round}: {seen}");
        }
        let listed = server.get(&format!("/v1/sandboxes/{sandbox}/commands"));
        let listed = listed.expect(200).json();
        let listed = listed["commands"].as_array().cloned().unwrap_or_default();
        assert_eq!(listed.len(), commands.len(), "{listed:?}");
        let is_killed = |seen: &Value| seen["state"] == "killed";
        assert!(listed.iter().all(is_killed), "round {round}: {listed:?}");
    }
}

/// The first one opens the connection to the agent, which tells what it knows: nothing yet.
#[test]
fn commands_that_are_the_first_of_a_sandbox_together_all_run() {
    let server = Server::start();
    for round in 0..10 {
        let sandbox = server.sandbox();
        let target = format!("/v1/sandboxes/{sandbox}/commands");
        let echo = json!({"cmd": ["echo", "here"]});
        let started: Vec<Value> = std::thread::scope(|scope| {
            let start = |number: usize| {
                let key = format!("{round}-{number}");
                let (server, target, echo) = (&server, &target, &echo);
                scope.spawn(move || keyed(server, &key, target, echo))
            };
            let asked: Vec<_> = (0..6).map(start).collect();
            let joined = asked.into_iter().map(|asked| asked.join());
            joined.map(|answer| answer.expect("an answer")).collect()
        });
        for command in &started {
            let ended = server.wait(command);
            assert_eq!(ended["state"], "exited", "round {round}: {ended}");
        }
        let gone = server.ask("DELETE", &format!("/sandboxes/{sandbox}"), b"");
        gone.expect(204);
    }
}

#[test]
fn a_crash_loses_no_key_no_record_and_no_output() {
    let mut server = Server::start();
    let create = json!({"templateID": "host", "timeout": 600, "allow_internet_access": false});
    let made = keyed(&server, "create", "/v2/sandboxes", &create);
    let sandbox = made["sandboxID"].as_str().expect("an id").to_owned();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let echo = json!({"cmd": ["echo", "kept"]});
    let ended = server.wait(&keyed(&server, "echo", &target, &echo));
    let script = |script: &str| json!({"cmd": ["/bin/sh", "-c", script]});
    let runs = script("echo begun; exec sleep 1000");
    let running = keyed(&server, "runs", &target, &runs);
    // Before the next server listens, or just after: both must do.
    let ends = script("echo begun; sleep 0.2; echo late; exit 5");
    let ending = keyed(&server, "ends", &target, &ends);
    server.crash();
    let again = keyed(&server, "create", "/v2/sandboxes", &create);
    assert_eq!(again["sandboxID"], made["sandboxID"]);
    for (key, body, first) in [
        ("echo", &echo, &ended),
        ("runs", &runs, &running),
        ("ends", &ends, &ending),
    ] {
        let again = keyed(&server, key, &target, body);
        assert_eq!(again["id"], first["id"], "{key}");
        assert_eq!(again["pid"], first["pid"], "{key}");
    }
    let out = |command: &Value| {
        let out = server.get(&format!("{}/stdout", path(command)));
        out.expect(200).text()
    };
    let late = server.wait(&ending);
    assert_eq!(
        (&late["state"], &late["exit_code"]),
        (&json!("exited"), &json!(5))
    );
    assert_eq!(out(&ending), "begun\nlate\n");
    assert_eq!(server.wait(&ended)["exit_code"], 0);
    assert_eq!(out(&ended), "kept\n");
    assert_eq!(out(&running), "begun\n");
    let signal = json!({"signal": "SIGTERM"});
    let target = format!("{}/signal", path(&running));
    server.post(&target, &signal).expect(204);
    let killed = server.wait(&running);
    assert_eq!(
        (&killed["state"], &killed["signal"]),
        (&json!("killed"), &json!(15))
    );
}
