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

#[test]
fn a_crash_loses_no_key_no_record_and_no_output() {
    let mut server = Server::start();
    let create = json!({"templateID": "host", "timeout": 600, "allow_internet_access": false});
    let made = keyed(&server, "create", "/v2/sandboxes", &create);
    let sandbox = made["sandboxID"].as_str().expect("an id").to_owned();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let echo = json!({"cmd": ["echo", "kept"]});
    let ended = server.wait(&keyed(&server, "echo", &target, &echo));
    // Its end is kept once the list of what is on disk has it; a later command's start comes after.
    let sleep = json!({"cmd": ["/bin/sh", "-c", "echo begun; exec sleep 1000"]});
    let running = keyed(&server, "sleep", &target, &sleep);
    server.crash();
    let again = keyed(&server, "create", "/v2/sandboxes", &create);
    assert_eq!(again["sandboxID"], made["sandboxID"]);
    let record = server.get(&path(&ended)).expect(200).json();
    match record["state"].as_str() {
        Some("exited") => {
            assert_eq!(record, ended);
            let out = server.get(&format!("{}/stdout", path(&ended))).expect(200);
            assert_eq!(out.text(), "kept\n");
        }
        // The crash came before its end was kept, and the sandbox was lost with it.
        Some("lost") => assert!(!record["detail"].as_str().unwrap_or_default().is_empty()),
        _ => panic!("{record}"),
    }
    let record = server.get(&path(&running)).expect(200).json();
    let state = record["state"].as_str().unwrap_or_default();
    assert!(["running", "lost", "killed"].contains(&state), "{record}");
}
