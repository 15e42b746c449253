//! Requests that two readers could understand differently: refused, or understood once, on every way.

use crate::ground::{create, list, never_panicked, to_agent, works};
use soulbox_tests::http::connect;
use soulbox_tests::server::Server;
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// How long nothing comes after the last answer.
const SILENCE: Duration = Duration::from_millis(700);

/// The statuses of all that is answered to these bytes.
fn statuses(server: &Server, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(server);
    stream.set_read_timeout(Some(SILENCE)).expect("a limit");
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // Where the connection is kept, silence says that there is no more.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let heads = answer.match_indices("HTTP/1.1 ");
    heads
        .filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok())
        .collect()
}

/// A second request, hidden in the first one's body. It must never be answered.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads (after the first line and the names of the sandbox) and bodies that are refused.
fn refused() -> Vec<(String, &'static str)> {
    let chunk = "0\r\n\r\n";
    let fixed: &[(&str, &str)] = &[
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: -5\r\n", "hello"),
        ("Content-Length: 0x5\r\n", "hello"),
        ("Content-Length: 5,6\r\n", "hello"),
        ("Content-Length: 99999999999999999999999\r\n", "hello"),
        ("Transfer-Encoding: chunked, identity\r\n", chunk),
        ("Transfer-Encoding: xchunked\r\n", chunk),
        ("Transfer-Encoding : chunked\r\n", chunk),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"),
        ("X-Folded: a\r\n b\r\n", ""),
        ("X-Nul: a\0b\r\n", ""),
        ("Host: b\r\n", ""),
        ("E2b-Sandbox-Id: iother\r\nE2b-Sandbox-Id: iother\r\n", ""),
        ("X-Access-Token: a\r\nX-Access-Token: b\r\n", ""),
        (": nameless\r\n", ""),
        ("no colon\r\n", ""),
    ];
    fixed
        .iter()
        .map(|(head, body)| ((*head).to_owned(), *body))
        .collect()
}

/// On every way: to the control plane, to an agent, and to a port of a sandbox.
#[test]
fn what_has_two_meanings_is_refused_on_every_way() {
    let server = Server::start();
    let sandbox = create(&server);
    let agent: String = to_agent(&sandbox)
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .concat();
    let port = format!(
        "E2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: 8080\r\n",
        sandbox.0
    );
    let plane = format!("X-API-KEY: {}\r\n", server.key());
    for (line, named) in [
        ("POST /v2/sandboxes HTTP/1.1\r\n", &plane),
        (
            "POST /files?path=/tmp/z HTTP/1.1\r\nContent-Type: application/octet-stream\r\n",
            &agent,
        ),
        (
            "POST /filesystem.Filesystem/Stat HTTP/1.1\r\nContent-Type: application/json\r\n",
            &agent,
        ),
        ("POST /any HTTP/1.1\r\n", &port),
    ] {
        for (head, body) in refused() {
            let bytes = format!("{line}Host: a\r\n{named}{head}\r\n{body}{HIDDEN}");
            let answers = statuses(&server, bytes.as_bytes());
            let first = answers.first().copied().unwrap_or(400);
            // Nothing listens on the port: 502 is what a request gets there that was understood.
            let expected = (400..500).contains(&first) || (first == 502 && named == &port);
            assert!(expected, "{line}{head}{body}: {answers:?}");
            assert!(answers.len() <= 1, "{line}{head}{body}: {answers:?}");
        }
        // Chunks count and the length is not passed on, and the connection ends with it.
        for lengths in ["Content-Length: 5\r\n", "content-length: 0\r\n"] {
            for (before, after) in [(lengths, ""), ("", lengths)] {
                let head = format!("{before}Transfer-Encoding: chunked\r\n{after}");
                let bytes = format!("{line}Host: a\r\n{named}{head}\r\n0\r\n\r\n{HIDDEN}");
                let answers = statuses(&server, bytes.as_bytes());
                assert!(answers.len() <= 1, "{line}{head}: {answers:?}");
            }
        }
    }
    assert!(works(&server, &sandbox));
    assert_eq!(list(&server).len(), 1, "something was made");
    never_panicked(&server);
}

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET  /health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT 80-iabc.d:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a:b@:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /v2/sandboxes HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let answers = statuses(&server, bytes);
        let told = answers.iter().all(|status| (400..500).contains(status));
        let shown = String::from_utf8_lossy(bytes).into_owned();
        assert!(told && answers.len() <= 1, "{shown}: {answers:?}");
    }
    never_panicked(&server);
}

/// The host of an absolute address counts, not the header beside it, and neither leads elsewhere.
#[test]
fn an_absolute_address_decides() {
    let server = Server::start();
    let sandbox = create(&server);
    let token = format!("X-Access-Token: {}\r\n", sandbox.1);
    let host = format!("49983-{}.d", sandbox.0);
    let there = format!("GET http://{host}/health HTTP/1.1\r\nHost: a\r\n{token}\r\n");
    assert_eq!(statuses(&server, there.as_bytes()), [204]);
    let elsewhere = format!("GET http://80-inosuch.d/ HTTP/1.1\r\nHost: {host}\r\n{token}\r\n");
    assert_eq!(statuses(&server, elsewhere.as_bytes()), [502]);
    never_panicked(&server);
}

#[test]
fn requests_in_one_piece_are_answered_in_their_order() {
    let server = Server::start();
    let one = "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /nosuch HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = statuses(&server, one.repeat(50).as_bytes());
    assert_eq!(answers, [200, 404].repeat(50));
    never_panicked(&server);
}
