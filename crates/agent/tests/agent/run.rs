//! Starting processes and reading what they tell, for tests.

use crate::http::{Connection, frame};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A start of a shell script without input.
pub(crate) fn script(text: &str) -> Value {
    json!({"process": {"cmd": "/bin/sh", "args": ["-c", text]}, "stdin": false})
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// What a stream of events brought: pid, output by name, end event.
pub(crate) struct Run {
    pub(crate) pid: u64,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) end: Value,
}

pub(crate) fn read_run(messages: &[Value]) -> Run {
    let pid = messages[0]["event"]["start"]["pid"]
        .as_u64()
        .expect("start comes first");
    let mut run = Run {
        pid,
        stdout: Vec::new(),
        stderr: Vec::new(),
        end: Value::Null,
    };
    for message in &messages[1..] {
        let event = &message["event"];
        if let Some(data) = event.get("data") {
            for (name, into) in [("stdout", &mut run.stdout), ("stderr", &mut run.stderr)] {
                if let Some(chunk) = data.get(name) {
                    into.extend(bytes(chunk));
                }
            }
        } else if let Some(end) = event.get("end") {
            assert!(run.end.is_null(), "one end only");
            run.end = end.clone();
        }
    }
    run
}

pub(crate) fn run(agent: &Agent, request: &Value) -> Run {
    let messages = agent.stream("process.Process/Start", request, &[]);
    assert_eq!(messages.last(), Some(&json!({})), "{messages:?}");
    read_run(&messages)
}

/// The error that a stream ends with, and nothing before it.
pub(crate) fn refused(
    agent: &Agent,
    method: &str,
    request: &Value,
    headers: &[(&str, &str)],
) -> Value {
    let messages = agent.stream(&format!("process.Process/{method}"), request, headers);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0]["error"].clone()
}

/// A connection with a running process: the connection, its frames so far, the pid.
pub(crate) fn started(
    agent: &Agent,
    request: &Value,
    headers: &[(&str, &str)],
) -> (Connection, Vec<u8>, u64) {
    follow(agent, "Start", request, headers)
}

pub(crate) fn follow(
    agent: &Agent,
    method: &str,
    request: &Value,
    headers: &[(&str, &str)],
) -> (Connection, Vec<u8>, u64) {
    let mut connection = Connection::open(agent);
    let kind = [("content-type", "application/connect+json")];
    let target = format!("/process.Process/{method}");
    connection.send(
        "POST",
        &target,
        &[&kind[..], headers].concat(),
        &frame(request),
    );
    assert_eq!(connection.head().status, 200);
    let mut pending = Vec::new();
    let (_, first) = connection.frame(&mut pending).unwrap().unwrap();
    let pid = first["event"]["start"]["pid"]
        .as_u64()
        .expect("start comes first");
    (connection, pending, pid)
}

/// Reads a stream that began with [`started`] to its end.
pub(crate) fn rest(connection: &mut Connection, mut pending: Vec<u8>) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some((_, json)) = connection.frame(&mut pending).unwrap() {
        messages.push(json);
    }
    messages
}

pub(crate) fn select(pid: u64) -> Value {
    json!({"process": {"pid": pid}})
}

pub(crate) fn is_alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "never happened: {what}");
        std::thread::yield_now();
    }
}
