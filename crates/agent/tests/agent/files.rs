//! `/files` and `/files/compose` on the wire.

mod download;
mod upload;

use crate::http::Answer;
use crate::support::Agent;

const RAW: (&str, &str) = ("content-type", "application/octet-stream");

fn put(agent: &Agent, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    agent.request("POST", &format!("/files?{query}"), headers, body)
}

fn get(agent: &Agent, path: &str, headers: &[(&str, &str)]) -> Answer {
    agent.request("GET", &format!("/files?path={path}"), headers, b"")
}

/// Checks the shape of a plain route's error.
fn assert_error(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let error = answer.json();
    assert_eq!(error["code"], status);
    assert!(
        error["message"].as_str().unwrap().contains(message),
        "{error}"
    );
}
