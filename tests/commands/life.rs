//! One command from its start to its end.

use crate::server::{Server, path};
use serde_json::json;

#[test]
fn a_command_has_a_record_from_its_start_to_its_end() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let script = "echo \"$WHO in $PWD\"; echo err >&2; read line; echo \"got $line\"; exit 3";
    let started = server.command(
        &sandbox,
        &json!({
            "cmd": ["/bin/sh", "-c", script],
            "env": {"WHO": "me"},
            "cwd": "/tmp",
            "stdin": true,
        }),
    );
    assert_eq!(started["state"], "running", "{started}");
    assert!(started["pid"].as_u64() > Some(1) && started["exit_code"].is_null());
    let at = path(&started);
    server
        .ask("POST", &format!("{at}/stdin?close=true"), b"input\n")
        .expect(204);
    let ended = server.wait(&started);
    assert_eq!(
        (&ended["state"], &ended["exit_code"]),
        (&json!("exited"), &json!(3))
    );
    assert_eq!(ended["pid"], started["pid"]);
    assert_eq!(
        ended["stderr"],
        json!({"total": 4, "kept": 4, "cut": false})
    );
    let out = server.get(&format!("{at}/stdout")).expect(200);
    assert_eq!(out.text(), "me in /tmp\ngot input\n");
    assert_eq!(
        server.get(&format!("{at}/stderr")).expect(200).text(),
        "err\n"
    );
    assert_eq!(server.get(&at).expect(200).json(), ended);
    let listed = server.get(&format!("/v1/sandboxes/{sandbox}/commands"));
    assert_eq!(listed.expect(200).json()["commands"], json!([ended]));
}

#[test]
fn signals_time_limits_and_users() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let sleeping = server.command(&sandbox, &json!({"shell": "sleep 1000 | cat"}));
    let at = path(&sleeping);
    let waited = server.get(&format!("{at}/wait?timeout_ms=30")).expect(200);
    assert_eq!(waited.json()["state"], "running");
    let signal = json!({"signal": "SIGTERM"});
    server.post(&format!("{at}/signal"), &signal).expect(204);
    let ended = server.wait(&sleeping);
    assert_eq!(
        (&ended["state"], &ended["signal"]),
        (&json!("killed"), &json!(15))
    );
    server.post(&format!("{at}/signal"), &signal).expect(409);
    server.ask("POST", &format!("{at}/stdin"), b"x").expect(409);

    let limited = server.command(
        &sandbox,
        &json!({"cmd": ["sleep", "1000"], "timeout_ms": 50}),
    );
    let ended = server.wait(&limited);
    assert_eq!(
        (&ended["state"], &ended["timed_out"]),
        (&json!("killed"), &json!(true))
    );

    let target = format!("/v1/sandboxes/{sandbox}/commands?wait_ms=60000");
    let who = json!({"cmd": ["id", "-un"], "user": "root"});
    let who = server.post(&target, &who).expect(201).json();
    assert_eq!(who["state"], "exited", "it was waited for");
    let out = server.get(&format!("{}/stdout", path(&who))).text();
    assert_eq!(out, "root\n");

    let terminal = json!({"cmd": ["stty", "size"], "pty": {"cols": 100, "rows": 30}});
    let terminal = server.post(&target, &terminal).expect(201).json();
    let out = server.get(&format!("{}/stdout", path(&terminal))).text();
    assert_eq!(out, "30 100\r\n");
}

#[test]
fn a_paused_sandbox_takes_no_command() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let command = server.command(&sandbox, &json!({"cmd": ["sleep", "1000"]}));
    server
        .ask("POST", &format!("/sandboxes/{sandbox}/pause"), b"")
        .expect(204);
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    server.post(&target, &json!({"cmd": ["true"]})).expect(409);
    let record = server.get(&path(&command)).expect(200).json();
    assert_eq!(record["state"], "running");
}
