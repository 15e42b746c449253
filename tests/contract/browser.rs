//! What a page of another origin may do: what its key or token allows, and no more.

use crate::http::{Answer, ask};
use crate::server::Server;

const ORIGIN: (&str, &str) = ("Origin", "https://page.example");

fn is_open(answer: &Answer) -> bool {
    answer.head.contains("access-control-allow-origin: *")
}

#[test]
fn pages_may_ask_with_a_key() {
    let server = Server::start();
    for path in ["/v2/sandboxes", "/files?path=x&signature=v1_x"] {
        let wanted = ("Access-Control-Request-Headers", "x-api-key, content-type");
        let asks = [ORIGIN, ("Access-Control-Request-Method", "POST"), wanted];
        let may = ask(&server, "OPTIONS", path, &asks, b"");
        assert_eq!(may.status, 204, "{may:?}");
        assert!(is_open(&may), "{may:?}");
        assert!(
            may.head
                .contains("access-control-allow-headers: x-api-key, content-type"),
            "{may:?}"
        );
    }
    for (key, status) in [(server.key(), 200), ("wrong", 401)] {
        let answer = ask(
            &server,
            "GET",
            "/v2/sandboxes",
            &[ORIGIN, ("X-API-KEY", key)],
            b"",
        );
        assert!(answer.status == status && is_open(&answer), "{answer:?}");
    }
}

#[test]
fn pages_read_nothing_without_a_key() {
    let server = Server::start();
    for path in ["/health", "/v2/sandboxes", "/nosuch", "/"] {
        let answer = ask(&server, "GET", path, &[ORIGIN], b"");
        assert!(!is_open(&answer), "{path}: {answer:?}");
    }
}

#[test]
fn pages_see_why_a_sandbox_refuses() {
    let server = Server::start();
    let key = [("X-API-KEY", server.key())];
    let made = ask(
        &server,
        "POST",
        "/v2/sandboxes",
        &key,
        br#"{"templateID":"base"}"#,
    );
    let id = made.json["sandboxID"].as_str().expect("an id");
    let token = made.json["envdAccessToken"].as_str().expect("a token");
    for (id, token, path, status) in [
        (id, token, "/envs", 200),
        (id, "wrong", "/envs", 401),
        (id, "wrong", "/files?path=x", 401),
        ("nosuch", token, "/envs", 502),
        ("NO", token, "/envs", 400),
    ] {
        let named = [("E2b-Sandbox-Id", id), ("E2b-Sandbox-Port", "49983")];
        let headers = [&named[..], &[ORIGIN, ("X-Access-Token", token)]].concat();
        let answer = ask(&server, "GET", path, &headers, b"");
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(is_open(&answer), "{answer:?}");
        assert_eq!(
            answer.head.matches("access-control-allow-origin").count(),
            1,
            "{answer:?}"
        );
    }
}
