//! `process.Process` on the wire: input.

use crate::http::{Connection, frame};
use crate::run::{read_run, rest, script, select, started, wait_until};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[test]
fn input_is_written_and_closed() {
    let agent = Agent::start().init();
    let request = json!({"process": {"cmd": "cat"}, "tag": "the-cat"});
    let (mut connection, pending, pid) = started(&agent, &request, &[]);
    let input = |text: &str, process: Value| json!({"process": process, "input": {"stdin": STANDARD.encode(text)}});
    let send = |message: Value| agent.unary("process.Process/SendInput", &message);
    assert_eq!(
        send(input("by pid, ", json!({"pid": pid}))),
        (200, json!({}))
    );
    assert_eq!(send(input("", json!({"pid": pid}))), (200, json!({})));
    assert_eq!(
        send(input("by tag", json!({"tag": "the-cat"}))),
        (200, json!({}))
    );
    let close = || agent.unary("process.Process/CloseStdin", &select(pid));
    assert_eq!(close(), (200, json!({})));
    let messages = rest(&mut connection, pending);
    let first = json!({"event": {"start": {"pid": pid}}});
    assert_eq!(
        read_run(&[vec![first], messages].concat()).stdout,
        b"by pid, by tag"
    );
    let (status, error) = close();
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));
}

#[test]
fn input_that_cannot_be_taken_is_refused() {
    let agent = Agent::start().init();
    let (_one, _, without) = started(&agent, &script("sleep 1000"), &[]);
    let piped = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    let (_two, _, with) = started(&agent, &piped, &[]);
    let send = |pid: u64, input: Value| {
        let message = json!({"process": {"pid": pid}, "input": input});
        let (status, error) = agent.unary("process.Process/SendInput", &message);
        (
            status,
            error["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let internal = (500, "internal".to_owned());
    let invalid = (400, "invalid_argument".to_owned());
    assert_eq!(send(without, json!({"stdin": "aGk="})), internal, "no pipe");
    assert_eq!(send(with, json!({"pty": "aGk="})), internal, "no terminal");
    assert_eq!(send(with, json!({})), invalid);
    assert_eq!(send(with, json!({"stdin": "aGk=", "pty": "aGk="})), invalid);
    assert_eq!(send(with, json!({"stdin": "***"})), invalid);
    assert_eq!(
        send(999_999, json!({"stdin": ""})),
        (404, "not_found".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(
            agent.unary("process.Process/CloseStdin", &select(with)).0,
            200
        );
    }
    assert_eq!(send(with, json!({"stdin": "aGk="})), internal, "closed");
}

#[test]
fn closing_input_frees_a_writer_that_waits() {
    let agent = Agent::start().init();
    let request = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    let (_connection, _, pid) = started(&agent, &request, &[]);
    let mut writer = Connection::open(&agent);
    // More than a pipe holds, for a process that reads nothing.
    let long = STANDARD.encode(vec![0; 300_000]);
    let message = json!({"process": {"pid": pid}, "input": {"stdin": long}}).to_string();
    let headers = [("content-type", "application/json")];
    writer.send(
        "POST",
        "/process.Process/SendInput",
        &headers,
        message.as_bytes(),
    );
    // The first answer on the other connection shows that the agent has taken the first request.
    wait_until("the pipe is full", || {
        let queued = std::fs::read_link(format!("/proc/{pid}/fd/0")).is_ok();
        queued && agent.request("GET", "/health", &[], b"").status == 204
    });
    assert_eq!(
        agent.unary("process.Process/CloseStdin", &select(pid)).0,
        200
    );
    assert_eq!(writer.answer().status, 500);
}

#[test]
fn a_stream_of_input_may_be_cut_anywhere() {
    let agent = Agent::start().init();
    let (mut output, pending, pid) = started(&agent, &json!({"process": {"cmd": "cat"}}), &[]);
    let data = |text: &str| json!({"data": {"input": {"stdin": STANDARD.encode(text)}}});
    let body = [
        frame(&json!({"start": {"process": {"pid": pid}}})),
        frame(&json!({"keepalive": {}})),
        frame(&data("one ")),
        frame(&data("two")),
    ]
    .concat();
    let mut input = Connection::open(&agent);
    input
        .write(
            b"POST /process.Process/StreamInput HTTP/1.1\r\nhost: a\r\n\
              content-type: application/connect+json\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .unwrap();
    for piece in body.chunks(7) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        input.write(&chunk).unwrap();
    }
    input.write(b"0\r\n\r\n").unwrap();
    let answer = input.answer();
    assert_eq!(
        answer.header("content-type"),
        Some("application/connect+json")
    );
    assert_eq!(
        crate::http::frames(&answer.body),
        [(0, json!({})), (2, json!({}))]
    );
    assert_eq!(
        agent.unary("process.Process/CloseStdin", &select(pid)).0,
        200
    );
    let first = json!({"event": {"start": {"pid": pid}}});
    let messages = rest(&mut output, pending);
    assert_eq!(
        read_run(&[vec![first], messages].concat()).stdout,
        b"one two"
    );
}

#[test]
fn a_stream_of_input_has_its_order() {
    let agent = Agent::start().init();
    let (_output, _, pid) = started(&agent, &json!({"process": {"cmd": "cat"}}), &[]);
    let start = json!({"start": {"process": {"pid": pid}}});
    let data = json!({"data": {"input": {"stdin": ""}}});
    let error = |messages: &[&Value]| {
        let body: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
        let answer = agent.raw_stream("process.Process/StreamInput", &body, &[]);
        assert_eq!(answer.status, 200);
        crate::http::frames(&answer.body).last().unwrap().1["error"]["code"].clone()
    };
    assert_eq!(error(&[&data]), "invalid_argument");
    assert_eq!(error(&[&start, &start]), "invalid_argument");
    assert_eq!(error(&[&json!({})]), "invalid_argument");
    assert_eq!(
        error(&[&json!({"start": {"process": {"pid": 999_999}}})]),
        "not_found"
    );
    assert_eq!(error(&[&start, &data, &data]), Value::Null);
    assert_eq!(error(&[]), Value::Null);
}
