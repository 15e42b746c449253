//! Clients that are broken or mean no good: the agent goes on serving the others.

use crate::http::Connection;
use crate::support::Agent;
use proptest::prelude::*;
use std::cell::RefCell;

thread_local! {
    /// One agent for all cases: that it outlives them is the point.
    static AGENT: RefCell<Option<Agent>> = const { RefCell::new(None) };
}

fn with_agent(test: impl FnOnce(&Agent)) {
    AGENT.with_borrow_mut(|agent| {
        // Not as root where that can be helped: some of what is asked for is done.
        let start = || Agent::start_as(65_534).unwrap_or_else(Agent::start).init();
        let agent = agent.get_or_insert_with(start);
        test(agent);
        assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
    });
}

/// Sends bytes, hangs up, and asks whether the agent is well.
fn send_and_leave(bytes: &[u8]) {
    with_agent(|agent| {
        let mut connection = Connection::open(agent);
        let _ = connection.write(bytes);
    });
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        "/(process.Process|filesystem.Filesystem)/(Start|Connect|StreamInput|SendInput|WatchDir)",
        "/(process.Process|filesystem.Filesystem)/(List|Update|Stat|ListDir|Move|CreateWatcher)",
        "/files\\?path=/dev/full(/[a-z~0-9/]{0,20})?(&username=[a-z%]{0,5})?(&%[a-z0-9]{0,3}=[%+])?",
        "/(init|envs|metrics|health|files/compose|[a-z/.?%]{0,10})",
    ]
}

fn headers() -> impl Strategy<Value = String> {
    let header = prop_oneof![
        Just("content-type: application/json".to_owned()),
        Just("content-type: application/connect+json".to_owned()),
        Just("content-type: application/octet-stream".to_owned()),
        Just("content-type: multipart/form-data; boundary=b".to_owned()),
        Just("content-encoding: gzip".to_owned()),
        Just("transfer-encoding: chunked".to_owned()),
        "content-length: [0-9]{1,20}",
        "connect-timeout-ms: [0-9a-]{0,12}",
        "keepalive-ping-interval: [0-9-]{0,22}",
        "authorization: (Basic|Bearer) [A-Za-z0-9=+/]{0,20}",
        "range: bytes=[0-9-]{0,30}",
        "accept-encoding: [a-z*;=0-9., ]{0,30}",
        "x-metadata-[a-z]{0,4}: [ -~]{0,10}",
        "[a-z-]{1,10}: [ -~]{0,20}",
    ];
    prop::collection::vec(header, 0..5).prop_map(|lines| lines.join("\r\n"))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "\\{(\"(process|path|input|pid|tag|stdin|cmd|pty|size)\":(\\{|\\[|\"a\"|-?[0-9]{1,12}|null|true)[,}]){0,5}"
            .prop_map(String::into_bytes),
        "(--b|\r\n|Content-Disposition: form-data; name=\"file\"; filename=\"x\"|--){0,8}"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        send_and_leave(&bytes);
    }

    #[test]
    fn any_request_is_survived(
        method in "(GET|POST|HEAD|PUT|OPTIONS|[A-Z]{1,7})",
        target in target(),
        headers in headers(),
        body in body(),
        framed in any::<bool>(),
    ) {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n").into_bytes();
        if !headers.is_empty() {
            bytes.extend(headers.as_bytes());
            bytes.extend(b"\r\n");
        }
        if !headers.contains("content-length") && !headers.contains("transfer-encoding") {
            let length = body.len() + if framed { 5 } else { 0 };
            bytes.extend(format!("content-length: {length}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        if framed {
            bytes.push(0);
            bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        }
        bytes.extend(&body);
        send_and_leave(&bytes);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let agent = Agent::start().init();
    let deep = format!("{{\"process\":{}", "[".repeat(100_000));
    let headers = [("content-type", "application/json")];
    let answer = agent.request("POST", "/process.Process/Update", &headers, deep.as_bytes());
    assert_eq!(answer.status, 400);
}

#[test]
fn long_heads_are_refused() {
    let agent = Agent::start().init();
    let mut connection = Connection::open(&agent);
    let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    let _ = connection.write(head.as_bytes());
    assert_eq!(connection.head().status, 431);
    let mut connection = Connection::open(&agent);
    let many = "a: b\r\n".repeat(100);
    let _ = connection.write(format!("GET /health HTTP/1.1\r\n{many}\r\n").as_bytes());
    assert_eq!(connection.head().status, 431);
    assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
}

#[test]
fn half_requests_hold_up_nobody() {
    let agent = Agent::start().init();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut connection = Connection::open(&agent);
        let half = b"POST /files?path=/dev/null HTTP/1.1\r\nhost: a\r\ncontent-le";
        connection.write(half).unwrap();
        held.push(connection);
    }
    assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
}
