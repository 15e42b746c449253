//! A server and requests with code.

use serde_json::{Value, json};
use soulbox_tests::http::{self, Answer};
use soulbox_tests::server::Server;

/// Asks with the server's key.
pub(crate) fn post(server: &Server, target: &str, body: &[u8]) -> Answer {
    let headers = [("X-API-KEY", server.key())];
    http::ask(server, "POST", target, &headers, body)
}

/// Runs what is asked for; it must be answered.
#[track_caller]
pub(crate) fn run(server: &Server, asked: &Value) -> Value {
    let answer = post(server, "/v1/execute", asked.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json
}

/// Runs a piece of code.
#[track_caller]
pub(crate) fn code(server: &Server, language: &str, code: &str) -> Value {
    run(server, &json!({ "language": language, "code": code }))
}

/// A text of an answer.
#[track_caller]
pub(crate) fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} of {answer}"))
}

/// The ids of the sandboxes that live.
pub(crate) fn live(server: &Server) -> Vec<String> {
    let headers = [("X-API-KEY", server.key())];
    let answer = http::ask(server, "GET", "/v2/sandboxes", &headers, b"");
    let all = answer.json.as_array().expect("a list").clone();
    let id = |one: &Value| one["sandboxID"].as_str().expect("an id").to_owned();
    all.iter().map(id).collect()
}

/// What happened to a sandbox.
pub(crate) fn events(server: &Server, sandbox: &str) -> Vec<Value> {
    let headers = [("X-API-KEY", server.key())];
    let target = format!("/v1/sandboxes/{sandbox}/events");
    let answer = http::ask(server, "GET", &target, &headers, b"");
    answer.json["events"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Waits until this is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed().as_secs() < 30, "{what} did not come");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
