//! What a sandbox's log has of its commands.

use crate::server::{KEY, Server};
use serde_json::{Value, json};

const SECRET: &str = "s3cret-in-an-argument";

/// Asks the agent of a sandbox for a stream, and gives what came.
fn ask_agent(server: &Server, sandbox: &Value, method: &str, message: &Value) -> String {
    let message = message.to_string();
    let length = u8::try_from(message.len()).expect("a short message");
    assert!(length < 128, "the head of the frame is text");
    let id = sandbox["sandboxID"].as_str().unwrap();
    let token = sandbox["envdAccessToken"].as_str().unwrap();
    let head = format!(
        "POST /process.Process/{method}\nContent-Type: application/connect+json\n\
         E2b-Sandbox-Id: {id}\nE2b-Sandbox-Port: 49983\nX-Access-Token: {token}"
    );
    let body = format!("\0\0\0\0{}{message}", char::from(length));
    server.ask(&head, &body).expect(200).body
}

/// The messages and the levels of a sandbox's log that are about commands.
fn lines(told: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = told["logs"].as_array().unwrap().iter();
    entries
        .filter(|entry| {
            entry["fields"]["kind"]
                .as_str()
                .unwrap()
                .starts_with("command")
        })
        .map(|entry| {
            let message = text(&entry["message"]);
            let message = message.split(" (pid").next().unwrap().to_owned();
            (message, text(&entry["level"]))
        })
        .collect()
}

#[test]
fn commands_are_logged_by_their_programs_name_whoever_asked() {
    let server = Server::start(&[]);
    let sandbox = server.create();
    let id = sandbox["sandboxID"].as_str().unwrap();
    let path = format!("/v2/sandboxes/{id}/logs");

    let start = json!({ "process": { "cmd": "/bin/sh", "args": ["-c", "exit 3", SECRET] } });
    ask_agent(&server, &sandbox, "Start", &start);
    let native = json!({
        "cmd": ["true", SECRET], "env": { "TOKEN": SECRET }
    });
    let started = format!("/v1/sandboxes/{id}/commands?wait_ms=20000");
    server.post(&started, &native.to_string()).expect(201);
    let told = server.until(&path, |told| lines(told).len() == 4);
    let expected = [
        ("sh started", "info"),
        ("sh exited with code 3", "warn"),
        ("true started", "info"),
        ("true exited with code 0", "info"),
    ];
    let expected = expected.map(|(message, level)| (message.to_owned(), level.to_owned()));
    assert_eq!(lines(&told), expected, "{told}");
    assert!(!told.to_string().contains(SECRET), "{told}");

    // Its time limit ends it, and the stream without a word about the process.
    let late = json!({ "process": { "cmd": "sleep", "args": ["1000"] } });
    ask_agent(&server, &sandbox, "Start\nConnect-Timeout-Ms: 100", &late);
    let told = server.until(&path, |told| lines(told).len() == 6);
    let [.., killed] = &lines(&told)[..] else {
        panic!("{told}")
    };
    assert_eq!(killed.0, "sleep was ended by signal 9");

    // What did not start is not there.
    let missing = json!({ "process": { "cmd": "/no/such" } });
    ask_agent(&server, &sandbox, "Start", &missing);
    server.post(
        &format!("/v1/sandboxes/{id}/commands"),
        r#"{"cmd":["/no/such"]}"#,
    );
    let old = server.get(&format!("/sandboxes/{id}/logs")).expect(200);
    assert_eq!(old.body.matches("no/such").count(), 0, "{old:?}");
    assert!(old.json()["logs"].as_array().unwrap().len() >= 5, "{old:?}");

    // It stays when the sandbox has ended.
    let kill = format!("DELETE /sandboxes/{id}\nX-API-Key: {KEY}");
    server.ask(&kill, "").expect(204);
    let told = server.get(&path).expect(200).json();
    assert_eq!(lines(&told)[..4], expected, "{told}");
}
