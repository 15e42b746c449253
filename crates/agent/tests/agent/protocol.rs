//! What all methods have in common on the wire.

use crate::http::{Connection, frame, frames};
use crate::support::Agent;
use serde_json::{Value, json};

const LIST: &str = "/process.Process/List";
const START: &str = "/process.Process/Start";
const JSON: (&str, &str) = ("content-type", "application/json");
const STREAM: (&str, &str) = ("content-type", "application/connect+json");

#[test]
fn lenient_requests_are_taken() {
    let agent = Agent::start().init();
    for (headers, body) in [
        (vec![JSON], &b"{}"[..]),
        (vec![JSON], b""),
        (vec![JSON], br#"{"unknown": [1, {"a": null}]}"#),
        (
            vec![("content-type", "application/json; charset=utf-8")],
            b"{}",
        ),
        (vec![("content-type", "Application/JSON")], b"{}"),
        (
            vec![
                JSON,
                ("content-encoding", "identity"),
                ("connect-protocol-version", "1"),
            ],
            b"{}",
        ),
        (
            vec![
                JSON,
                ("connect-timeout-ms", "60000"),
                ("x-access-token", "any"),
            ],
            b"{}",
        ),
        (vec![JSON, ("authorization", "Bearer token")], b"{}"),
    ] {
        let answer = agent.request("POST", LIST, &headers, body);
        assert_eq!(answer.status, 200, "{headers:?} {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    // Numbers as strings, and the other alphabet of base64 without padding.
    let start = frame(&json!({"process": {"cmd": "cat"}, "stdin": true}));
    let mut connection = Connection::open(&agent);
    connection.send("POST", START, &[STREAM], &start);
    connection.head();
    let mut pending = Vec::new();
    let first = connection.frame(&mut pending).unwrap().unwrap().1;
    let pid = first["event"]["start"]["pid"].to_string();
    let message = json!({"process": {"pid": pid, "tag": null}, "input": {"stdin": "_-8"}});
    assert_eq!(
        agent.unary("process.Process/SendInput", &message),
        (200, json!({}))
    );
    let output = connection.frame(&mut pending).unwrap().unwrap().1;
    assert_eq!(output["event"]["data"]["stdout"], "/+8=");
}

#[test]
fn wrong_requests_are_refused_in_the_shape_of_their_kind() {
    let agent = Agent::start().init();
    let unary = |headers: &[(&str, &str)], body: &[u8]| {
        let answer = agent.request("POST", LIST, headers, body);
        (
            answer.status,
            answer.json()["code"].as_str().unwrap().to_owned(),
        )
    };
    let invalid = (400, "invalid_argument".to_owned());
    assert_eq!(unary(&[JSON], b"{"), invalid);
    assert_eq!(unary(&[JSON], b"[]"), invalid);
    assert_eq!(unary(&[JSON], b"\xff"), invalid);
    assert_eq!(
        unary(&[JSON, ("connect-protocol-version", "2")], b"{}"),
        invalid
    );
    assert_eq!(
        unary(&[JSON, ("connect-timeout-ms", "12345678901")], b"{}"),
        invalid
    );
    assert_eq!(unary(&[JSON, ("connect-timeout-ms", "-1")], b"{}"), invalid);
    let unimplemented = (501, "unimplemented".to_owned());
    assert_eq!(
        unary(&[JSON, ("content-encoding", "gzip")], b"{}"),
        unimplemented
    );

    let stream = |headers: &[(&str, &str)], body: &[u8]| {
        let answer = agent.request("POST", START, headers, body);
        assert_eq!(answer.status, 200, "streams are always answered with 200");
        assert_eq!(
            answer.header("content-type"),
            Some("application/connect+json")
        );
        let frames = frames(&answer.body);
        assert_eq!((frames.len(), frames[0].0), (1, 2));
        frames[0].1["error"]["code"].as_str().unwrap().to_owned()
    };
    let start = frame(&json!({"process": {"cmd": "true"}}));
    assert_eq!(stream(&[STREAM], b""), "invalid_argument");
    assert_eq!(stream(&[STREAM], b"\0\0\0\0"), "invalid_argument");
    assert_eq!(stream(&[STREAM], &start[..10]), "invalid_argument");
    assert_eq!(
        stream(&[STREAM], &[&start[..], &start].concat()),
        "invalid_argument"
    );
    assert_eq!(stream(&[STREAM], b"\x02\0\0\0\x02{}"), "invalid_argument");
    assert_eq!(stream(&[STREAM], b"\x01\0\0\0\x02{}"), "invalid_argument");
    assert_eq!(
        stream(&[STREAM], b"\0\xff\xff\xff\xff"),
        "resource_exhausted"
    );
    assert_eq!(
        stream(&[STREAM, ("connect-content-encoding", "gzip")], &start),
        "unimplemented"
    );
    let keepalive = [
        STREAM,
        ("keepalive-ping-interval", "soon"),
        ("connect-timeout-ms", "x"),
    ];
    assert_eq!(stream(&keepalive, &start), "invalid_argument");
}

#[test]
fn what_is_no_call_is_refused_by_http() {
    let agent = Agent::start().init();
    let status = |method, target, headers: &[(&str, &str)]| {
        agent.request(method, target, headers, b"{}").status
    };
    assert_eq!(status("GET", LIST, &[JSON]), 405);
    assert_eq!(
        status("POST", LIST, &[("content-type", "application/proto")]),
        415
    );
    assert_eq!(status("POST", LIST, &[STREAM]), 415);
    assert_eq!(status("POST", START, &[JSON]), 415);
    assert_eq!(status("GET", "/nothing", &[]), 404);
    assert_eq!(status("POST", "/health", &[]), 405);
    let answer = agent.request("POST", "/process.Process/Nothing", &[JSON], b"{}");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (501, &json!("unimplemented"))
    );
    for method in [
        "/process.Process/Nothing",
        "/filesystem.Filesystem/",
        "/other.Service/X",
    ] {
        let answer = agent.request("POST", method, &[STREAM], b"");
        let frames = frames(&answer.body);
        assert_eq!((answer.status, frames.len()), (200, 1));
        assert_eq!(frames[0].1["error"]["code"], "unimplemented");
    }
}

#[test]
fn a_call_s_time_limit_is_kept() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    let request = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    connection.send("POST", START, &[STREAM], &frame(&request));
    connection.head();
    let first = connection.frame(&mut Vec::new()).unwrap().unwrap().1;
    // More than the pipe of a process that does not read can hold.
    let input = json!({"stdin": "AAAA".repeat(100_000)});
    let message = json!({"process": {"pid": first["event"]["start"]["pid"]}, "input": input});
    let headers = [JSON, ("connect-timeout-ms", "50")];
    let body = message.to_string();
    let answer = agent.request(
        "POST",
        "/process.Process/SendInput",
        &headers,
        body.as_bytes(),
    );
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (504, &json!("deadline_exceeded"))
    );
}

#[test]
fn connections_are_kept() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    for _ in 0..3 {
        connection.send("GET", "/health", &[], b"");
        assert_eq!(connection.answer().status, 204);
        connection.send(
            "POST",
            START,
            &[STREAM],
            &frame(&json!({"process": {"cmd": "true"}})),
        );
        assert_eq!(connection.answer().status, 200);
        connection.send("POST", LIST, &[JSON], b"{");
        assert_eq!(connection.answer().status, 400);
        connection.send("GET", "/files?path=/nothing", &[], b"");
        assert_eq!(connection.answer().status, 404);
    }
}

#[test]
fn pages_of_other_origins_may_ask() {
    let agent = Agent::start().init();
    let headers = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type, authorization",
        ),
    ];
    let answer = agent.request("OPTIONS", START, &headers, b"");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let allowed = answer.header("access-control-allow-headers");
    assert_eq!(allowed, Some("content-type, authorization"));
    let answer = agent.request("POST", LIST, &[JSON, ("origin", "null")], b"{}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let answer = agent.request("POST", LIST, &[JSON], b"{}");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn oversize_messages_are_refused() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    let head = format!("POST {LIST} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n");
    let announced = format!("{head}content-length: 5000000\r\n\r\n");
    connection.write(announced.as_bytes()).unwrap();
    let answer = connection.answer();
    let code: Value = answer.json()["code"].clone();
    assert_eq!((answer.status, code), (429, json!("resource_exhausted")));

    let mut connection = Connection::open(&agent);
    connection
        .write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .unwrap();
    let piece = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..100 {
        // The agent may have answered and hung up before all of it was sent.
        if connection.write(&piece).is_err() {
            break;
        }
    }
    assert_eq!(connection.head().status, 429);
}
