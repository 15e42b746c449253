//! Requests that are wrong: each is refused with the name of what is wrong.

use crate::http::ask;
use crate::server::{Server, path};
use serde_json::{Value, json};

#[test]
fn what_is_wrong_is_named() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let commands = format!("/v1/sandboxes/{sandbox}/commands");
    let deep = "x".repeat(10_000);
    let starts: &[(Value, &str)] = &[
        (json!({}), "cmd"),
        (json!([]), "body"),
        (json!({"cmd": []}), "cmd"),
        (json!({"cmd": [""]}), "cmd"),
        (json!({"cmd": "true"}), "cmd"),
        (json!({"cmd": [1]}), "cmd"),
        (json!({"cmd": ["a\u{0}b"]}), "cmd"),
        (json!({"cmd": ["true"], "shell": "true"}), "shell"),
        (json!({"cmd": ["true"], "env": {"a": 1}}), "env.a"),
        (json!({"cmd": ["true"], "env": {"a=b": "x"}}), "env"),
        (json!({"cmd": ["true"], "cwd": "a\u{0}"}), "cwd"),
        (json!({"cmd": ["true"], "cwd": "/not/there"}), "/not/there"),
        (json!({"cmd": ["true"], "cwd": deep}), "long"),
        (json!({"cmd": ["true"], "user": "nobody-here"}), "user"),
        (json!({"cmd": ["true"], "timeout_ms": 0}), "timeout_ms"),
        (json!({"cmd": ["true"], "timeout_ms": -1}), "timeout_ms"),
        (json!({"cmd": ["true"], "timeout_ms": 1e40}), "timeout_ms"),
        (
            json!({"cmd": ["true"], "pty": {"cols": 70_000}}),
            "pty.cols",
        ),
        (json!({"cmd": ["true"], "unknown": 1}), "unknown"),
    ];
    for (body, named) in starts {
        let refused = server.post(&commands, body).expect(400).json();
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(named),
            "{named:?} in {message:?} for {body}"
        );
        assert_eq!(refused["code"], 400);
    }
    let command = server.command(&sandbox, &json!({"cmd": ["sleep", "1000"]}));
    let at = path(&command);
    let table = [
        (
            "POST",
            format!("{at}/signal"),
            r#"{"signal":"SIGNOPE"}"#,
            400,
        ),
        ("POST", format!("{at}/signal"), r#"{"signal":-9}"#, 400),
        ("POST", format!("{at}/signal"), "{}", 400),
        ("POST", format!("{at}/stdin"), "x", 400),
        ("GET", format!("{at}/stdout?offset=-1"), "", 400),
        ("GET", format!("{at}/stdout?limit=x"), "", 400),
        ("GET", format!("{at}/wait?timeout_ms=-1"), "", 400),
        ("GET", format!("{at}/output?follow=maybe"), "", 400),
        ("GET", format!("{commands}/cnope"), "", 404),
        ("GET", format!("{commands}/..%2f..%2fetc"), "", 404),
        ("GET", "/v1/sandboxes/inope/commands".to_owned(), "", 404),
        (
            "GET",
            format!("/v1/sandboxes/{}/commands", "A".repeat(5000)),
            "",
            404,
        ),
        ("DELETE", at.clone(), "", 405),
    ];
    for (method, target, body, status) in table {
        let refused = server.ask(method, &target, body.as_bytes());
        assert_eq!(
            refused.status,
            status,
            "{method} {target:.200}: {}",
            refused.text()
        );
        assert_eq!(refused.json()["code"], status);
    }
    for key in ["", "a b", &"k".repeat(256)] {
        let headers = [("Idempotency-Key", key)];
        let refused = ask(&server, "POST", &commands, &headers, br#"{"cmd":["true"]}"#);
        let message = refused.expect(400).json()["message"].to_string();
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    let listed = server.get(&commands).expect(200).json();
    assert_eq!(
        listed["commands"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
}
