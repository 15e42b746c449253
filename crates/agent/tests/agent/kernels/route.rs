//! Routes, and what is refused.

use super::Ground;
use crate::http::Connection;
use crate::support::Agent;
use serde_json::{Value, json};

#[test]
fn routes_answer_as_e2bs_server_does() {
    let Some(ground) = Ground::new() else { return };
    let answer = ground.ask("GET", "/health", &Value::Null);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\"OK\""[..]));
    let known = ground.ask("GET", "/soulbox/kernels", &Value::Null).json();
    assert_eq!(
        known,
        json!({ "kernels": ["absent", "bash", "broken", "python", "raw", "waiting"] })
    );
    for (method, target, status) in [
        ("GET", "/", 404),
        ("GET", "/contexts/x/y", 404),
        ("GET", "/init", 404),
        ("POST", "/process.Process/List", 404),
        ("GET", "/execute", 405),
        ("PUT", "/contexts", 405),
        ("GET", "/contexts/x", 405),
        ("GET", "/contexts/x/restart", 405),
        ("POST", "/health", 405),
    ] {
        let answer = ground.ask(method, target, &Value::Null);
        let detail = if status == 404 {
            "Not Found"
        } else {
            "Method Not Allowed"
        };
        assert_eq!(
            (answer.status, answer.json()),
            (status, json!({ "detail": detail })),
            "{method} {target}"
        );
    }
    for (method, target) in [
        ("POST", "/contexts/x%2Fy/restart"),
        ("DELETE", "/contexts/none"),
    ] {
        let answer = ground.ask(method, target, &Value::Null);
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 404);
        assert!(
            text.starts_with("Context ") && text.ends_with(" not found"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_run_is_refused_and_leaves_nothing() {
    let Some(ground) = Ground::new() else { return };
    let refused = |target: &str, body: Value| {
        let answer = ground.ask("POST", target, &body);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let before = ground.contexts();
    assert_eq!(before.len(), 1, "python, for there is no javascript");
    let code = |more: Value| {
        let mut body = json!({ "code": "echo" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let both = code(json!({ "language": "bash", "context_id": "x" }));
    let text = "Only one of context_id or language can be provided";
    assert_eq!(refused("/execute", both), (400, text.to_owned()));
    let id = before[0]["id"].as_str().unwrap().to_uppercase();
    let none = (404, format!("Context {id} not found"));
    assert_eq!(refused("/execute", code(json!({ "context_id": id }))), none);
    let text = "kernel 'py' is not available; there are absent, bash, broken, python, raw, waiting";
    let unknown = (500, text.to_owned());
    assert_eq!(
        refused("/execute", code(json!({ "language": "py" }))),
        unknown
    );
    assert_eq!(refused("/contexts", json!({ "language": "py" })), unknown);
    let text = "kernel 'broken' does not start: no library";
    assert_eq!(
        refused("/contexts", json!({ "language": "broken" })),
        (500, text.to_owned())
    );
    let (status, text) = refused("/contexts", json!({ "language": "absent" }));
    assert!(
        status == 500 && text.contains("/nonexistent/kernel"),
        "{text}"
    );
    let (status, text) = refused("/contexts", json!({ "language": "foreign" }));
    assert!(status == 500 && text.contains("protocol"), "{text}");
    let (status, text) = refused(
        "/contexts",
        json!({ "language": "bash", "cwd": "/nonexistent" }),
    );
    assert!(
        status == 400 && text.contains("cannot enter cwd '/nonexistent'"),
        "{text}"
    );
    let (status, text) = refused("/execute", json!({ "code": 5 }));
    assert!(
        status == 422 && text.contains(r#""loc":["body","code"]"#),
        "{text}"
    );
    assert_eq!(ground.contexts(), before);
}

#[test]
fn pages_of_any_origin_may_ask() {
    let Some(ground) = Ground::new() else { return };
    let mut connection = Connection::open(&ground);
    let headers = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "content-type"),
    ];
    connection.send_to("kernels", "OPTIONS", "/contexts/x", &headers, b"");
    let answer = connection.answer();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type")
    );
    assert!(
        answer
            .header("access-control-allow-methods")
            .unwrap()
            .contains("DELETE")
    );
    connection.send_to("kernels", "GET", "/contexts", &headers[..1], b"");
    assert_eq!(
        connection.answer().header("access-control-allow-origin"),
        Some("*")
    );
}

#[test]
fn without_kernels_there_is_nothing_to_list() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    connection.send_to("kernels", "GET", "/soulbox/kernels", &[], b"");
    assert_eq!(connection.answer().json(), json!({ "kernels": [] }));
    connection.send_to("kernels", "POST", "/execute", &[], br#"{"code": ""}"#);
    let answer = connection.answer();
    let text = "kernel 'python' is not available; there are none";
    assert_eq!((answer.status, &answer.body[..]), (500, text.as_bytes()));
}
