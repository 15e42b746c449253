//! Requests that are wrong: each is refused with the name of what is wrong, and nothing is left of any.

use crate::http::{Answer, ask, send};
use crate::server::Server;
use serde_json::{Value, json};

fn api(server: &Server, method: &str, target: &str, body: &[u8]) -> Answer {
    ask(server, method, target, &[("X-API-KEY", server.key())], body)
}

/// Asserts that an answer is a refusal in the control plane's shape.
#[track_caller]
fn refused(answer: &Answer, status: u16, named: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json["code"], status, "{answer:?}");
    assert!(answer.message().contains(named), "{named:?} in {answer:?}");
}

fn create(server: &Server) -> Value {
    let made = api(server, "POST", "/v2/sandboxes", br#"{"templateID":"base"}"#);
    assert_eq!(made.status, 201, "{made:?}");
    made.json
}

fn assert_nothing_is_left(server: &Server) {
    let listed = api(server, "GET", "/v2/sandboxes", b"");
    assert_eq!((listed.status, &listed.json), (200, &json!([])));
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let server = Server::start();
    let unknown = format!("e2b_{}", "0".repeat(40));
    let long = "x".repeat(5000);
    let wrong: [&[(&str, &str)]; 7] = [
        &[],
        &[("X-API-KEY", "")],
        &[("X-API-KEY", &unknown)],
        &[("X-API-KEY", &long)],
        &[("X-API-KEY", "\u{e9}")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", "Basic dXNlcjo=")],
    ];
    let routes = [
        ("POST", "/v2/sandboxes"),
        ("POST", "/sandboxes"),
        ("GET", "/v2/sandboxes"),
        ("GET", "/sandboxes/iabc"),
        ("DELETE", "/sandboxes/iabc"),
        ("POST", "/sandboxes/iabc/pause"),
        ("GET", "/teams"),
        ("POST", "/v3/templates"),
        ("GET", "/snapshots"),
    ];
    for headers in wrong {
        for (method, target) in routes {
            refused(&ask(&server, method, target, headers, b""), 401, "API key");
        }
    }
    let bearer = format!("Bearer {}", server.key());
    let known = ask(
        &server,
        "GET",
        "/v2/sandboxes",
        &[("Authorization", &bearer)],
        b"",
    );
    assert_eq!(known.status, 200, "{known:?}");
}

#[test]
fn creates_that_are_wrong() {
    let server = Server::start();
    let huge = "x".repeat(200_000);
    let table: &[(Value, u16, &str)] = &[
        (json!({}), 400, "templateID"),
        (json!({"templateID": 5}), 400, "templateID"),
        (json!({"templateID": null}), 400, "templateID"),
        (json!({"templateID": "nosuch"}), 404, "nosuch"),
        (json!({"templateID": "../../etc"}), 404, "../../etc"),
        (json!({"templateID": "a\u{0}b"}), 404, "template"),
        (json!({"templateID": huge}), 404, "template"),
        (json!({"templateID": "base", "timeout": -1}), 400, "timeout"),
        (json!({"templateID": "base", "timeout": 0}), 400, "timeout"),
        (
            json!({"templateID": "base", "timeout": 1e30}),
            400,
            "timeout",
        ),
        (
            json!({"templateID": "base", "timeout": u64::MAX}),
            400,
            "timeout",
        ),
        (
            json!({"templateID": "base", "timeout": 1_000_000_000}),
            400,
            "timeout",
        ),
        (
            json!({"templateID": "base", "timeout": "60"}),
            400,
            "timeout",
        ),
        (
            json!({"templateID": "base", "timeout": 1.5}),
            400,
            "timeout",
        ),
        (
            json!({"templateID": "base", "metadata": []}),
            400,
            "metadata",
        ),
        (
            json!({"templateID": "base", "metadata": {"a": 1}}),
            400,
            "metadata.a",
        ),
        (
            json!({"templateID": "base", "metadata": {"a": huge}}),
            400,
            "metadata",
        ),
        (
            json!({"templateID": "base", "envVars": {"a": null}}),
            400,
            "envVars.a",
        ),
        (
            json!({"templateID": "base", "envVars": {"a=b": "x"}}),
            400,
            "envVars",
        ),
        (
            json!({"templateID": "base", "envVars": {"": "x"}}),
            400,
            "envVars",
        ),
        (
            json!({"templateID": "base", "envVars": {"a": "\u{0}"}}),
            400,
            "envVars",
        ),
        (
            json!({"templateID": "base", "autoPause": "yes"}),
            400,
            "autoPause",
        ),
        (
            json!({"templateID": "base", "autoPauseMemory": false}),
            400,
            "autoPauseMemory",
        ),
        (
            json!({"templateID": "base", "autoResume": true}),
            400,
            "autoResume",
        ),
        (
            json!({"templateID": "base", "autoResume": {"enabled": 1}}),
            400,
            "autoResume.enabled",
        ),
        (
            json!({"templateID": "base", "allow_internet_access": "no"}),
            400,
            "allow_internet_access",
        ),
        (json!({"templateID": "base", "network": []}), 400, "network"),
        (
            json!({"templateID": "base", "network": {"denyOut": 5}}),
            400,
            "network.denyOut",
        ),
        (
            json!({"templateID": "base", "network": {"maskRequestHost": "a b"}}),
            400,
            "network.maskRequestHost",
        ),
        (
            json!({"templateID": "base", "iam": {"tokens": {}}}),
            400,
            "iam",
        ),
        (
            json!({"templateID": "base", "volumeMounts": "x"}),
            400,
            "volumeMounts",
        ),
        (
            json!({"templateID": "base", "isolation": "none"}),
            400,
            "isolation",
        ),
        (json!([]), 400, "body"),
        (json!("base"), 400, "body"),
        (json!(null), 400, "body"),
    ];
    for (body, status, named) in table {
        for path in ["/v2/sandboxes", "/sandboxes"] {
            refused(
                &api(&server, "POST", path, body.to_string().as_bytes()),
                *status,
                named,
            );
        }
    }
    for body in [
        &b""[..],
        b"{",
        b"nonsense",
        b"{\"templateID\":\"base\"} x",
        b"\xff\xfe",
        b"{\"templateID\":\"\xff\"}",
    ] {
        refused(&api(&server, "POST", "/v2/sandboxes", body), 400, "");
    }
    let deep = [
        b"{\"templateID\":\"base\",\"network\":".as_slice(),
        &b"[".repeat(100_000),
    ]
    .concat();
    refused(
        &api(&server, "POST", "/v2/sandboxes", &deep),
        400,
        "network",
    );
    let header = [("X-API-KEY", server.key()), ("Soulbox-Isolation", "none")];
    let body = br#"{"templateID":"base"}"#;
    refused(
        &ask(&server, "POST", "/v2/sandboxes", &header, body),
        400,
        "isolation",
    );
    assert_nothing_is_left(&server);
    create(&server);
}

#[test]
fn ids_and_other_values_that_are_wrong() {
    let server = Server::start();
    let long = "a".repeat(10_000);
    let ids = [
        "nosuch",
        "UPPER",
        "a.b",
        "a%2Fb",
        "a%00b",
        "%E4",
        "..",
        "%2e%2e",
        long.as_str(),
        "a_b",
        "-",
        "%",
    ];
    for id in ids {
        for (method, rest, body) in [
            ("GET", "", ""),
            ("DELETE", "", ""),
            ("POST", "/pause", ""),
            ("POST", "/connect", r#"{"timeout":5}"#),
            ("POST", "/timeout", r#"{"timeout":5}"#),
            ("POST", "/refreshes", ""),
            ("PUT", "/network", "{}"),
        ] {
            let answer = api(
                &server,
                method,
                &format!("/sandboxes/{id}{rest}"),
                body.as_bytes(),
            );
            // `..` is a segment like any other, a bare `%` none that can be decoded.
            assert!(
                [400, 404].contains(&answer.status),
                "{method} {id} {rest}: {answer:?}"
            );
            assert_eq!(answer.json["code"], answer.status, "{answer:?}");
        }
    }
    let made = create(&server);
    let id = made["sandboxID"].as_str().expect("an id");
    let table = [
        ("POST", "/timeout", "{}", "timeout"),
        ("POST", "/timeout", r#"{"timeout":-1}"#, "timeout"),
        ("POST", "/timeout", r#"{"timeout":"5"}"#, "timeout"),
        ("POST", "/timeout", r#"{"timeout":99999999999}"#, "timeout"),
        ("POST", "/timeout", "", "body"),
        ("POST", "/connect", "{}", "timeout"),
        ("POST", "/connect", r#"{"timeout":-5}"#, "timeout"),
        (
            "POST",
            "/connect",
            r#"{"timeout":5,"memory":"no"}"#,
            "memory",
        ),
        ("POST", "/refreshes", r#"{"duration":-1}"#, "duration"),
        ("POST", "/refreshes", r#"{"duration":1e40}"#, "duration"),
        ("POST", "/pause", r#"{"memory":3}"#, "memory"),
        ("POST", "/pause", "nonsense", "body"),
        ("PUT", "/network", r#"{"allowOut":"x"}"#, "allowOut"),
    ];
    for (method, rest, body, named) in table {
        let target = format!("/sandboxes/{id}{rest}");
        refused(&api(&server, method, &target, body.as_bytes()), 400, named);
    }
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("state=sleeping", "state"),
        ("order=up", "order"),
        ("nextToken=x", "nextToken"),
        ("startedAfter=yesterday", "startedAfter"),
    ] {
        refused(
            &api(&server, "GET", &format!("/v2/sandboxes?{query}"), b""),
            400,
            named,
        );
    }
    let running = api(&server, "GET", &format!("/sandboxes/{id}"), b"");
    assert_eq!(running.json["state"], "running", "{running:?}");
}

#[test]
fn requests_that_are_no_http_or_too_long() {
    let server = Server::start();
    let key = server.key().to_owned();
    let long = "x".repeat(300_000);
    let many: Vec<_> = (0..2000).map(|n| format!("X-{n}: 1\r\n")).collect();
    for (bytes, statuses) in [
        ("nonsense\r\n\r\n".to_owned(), &[400][..]),
        ("GET /health HTTP/9.9\r\n\r\n".to_owned(), &[400, 505]),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), &[400]),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), &[414, 431]),
        (format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &[431]),
        (format!("GET /health HTTP/1.1\r\nHost: a\r\n{}\r\n", many.concat()), &[431]),
        (
            "POST /v2/sandboxes HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n".to_owned(),
            &[400],
        ),
        (
            "POST /v2/sandboxes HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_owned(),
            &[400],
        ),
    ] {
        let answer = send(&server, bytes.as_bytes());
        assert!(statuses.contains(&answer.status), "{bytes:.80}: {answer:?}");
    }
    let body = format!(
        r#"{{"templateID":"base","metadata":{{"a":"{}"}}}}"#,
        "x".repeat(8 << 20)
    );
    let answer = ask(
        &server,
        "POST",
        "/v2/sandboxes",
        &[("X-API-KEY", &key)],
        body.as_bytes(),
    );
    refused(&answer, 413, "server.body");
    refused(&api(&server, "GET", "/nosuch", b""), 404, "/nosuch");
    refused(&api(&server, "PATCH", "/v2/sandboxes", b""), 405, "PATCH");
    assert_nothing_is_left(&server);
}

#[test]
fn requests_to_a_sandbox_that_are_wrong() {
    let server = Server::start();
    let made = create(&server);
    let id = made["sandboxID"].as_str().expect("an id");
    let token = made["envdAccessToken"].as_str().expect("a token");
    let to = |method: &str, target: &str, more: &[(&str, &str)], body: &[u8]| {
        let named = [
            ("E2b-Sandbox-Id", id),
            ("E2b-Sandbox-Port", "49983"),
            ("X-Access-Token", token),
        ];
        ask(&server, method, target, &[&named, more].concat(), body)
    };
    let long = "a".repeat(10_000);
    for path in ["a%00b", long.as_str(), "/dev", "~nobody/x"] {
        let octets = [("Content-Type", "application/octet-stream")];
        for (method, more) in [("GET", &[][..]), ("POST", &octets)] {
            let answer = to(method, &format!("/files?path={path}"), more, b"");
            assert!(
                (400..500).contains(&answer.status),
                "{method} {path:.20}: {answer:?}"
            );
            assert_eq!(answer.json["code"], answer.status, "{answer:?}");
        }
    }
    let json = [("Content-Type", "application/json")];
    for (method, body) in [
        ("filesystem.Filesystem/Stat", "nonsense"),
        ("filesystem.Filesystem/Stat", r#"{"path":5}"#),
        ("filesystem.Filesystem/Stat", r#"{"path":"a\u0000b"}"#),
        (
            "filesystem.Filesystem/ListDir",
            r#"{"path":"/","depth":-1}"#,
        ),
        (
            "filesystem.Filesystem/MakeDir",
            &format!(r#"{{"path":"{long}"}}"#),
        ),
        (
            "filesystem.Filesystem/Move",
            r#"{"source":"/proc/1","destination":"/proc/2"}"#,
        ),
        (
            "process.Process/SendSignal",
            r#"{"process":{"pid":-1},"signal":"SIGNAL_SIGKILL"}"#,
        ),
        (
            "process.Process/SendSignal",
            r#"{"process":{"pid":5},"signal":"SIGNAL_OTHER"}"#,
        ),
        (
            "process.Process/SendInput",
            r#"{"process":{"pid":5},"input":{"stdin":"***"}}"#,
        ),
        ("process.Process/Update", "[]"),
    ] {
        let answer = to("POST", &format!("/{method}"), &json, body.as_bytes());
        assert!(
            (400..500).contains(&answer.status),
            "{method} {body:.40}: {answer:?}"
        );
        assert!(answer.json["code"].is_string(), "{answer:?}");
    }
    for (sandbox, port, named) in [
        (id, "0", "Port"),
        (id, "65536", "Port"),
        (id, "x", "Port"),
        ("UPPER", "80", "Id"),
        ("a-b-c", "80", "Id"),
        ("", "80", "Id"),
    ] {
        let headers = [("E2b-Sandbox-Id", sandbox), ("E2b-Sandbox-Port", port)];
        refused(
            &ask(&server, "GET", "/health", &headers, b""),
            400,
            &format!("E2b-Sandbox-{named}"),
        );
    }
    refused(
        &ask(&server, "GET", "/health", &[("E2b-Sandbox-Id", id)], b""),
        400,
        "E2b-Sandbox-Port",
    );
    let gone = ask(
        &server,
        "GET",
        "/health",
        &[("E2b-Sandbox-Id", "nosuch"), ("E2b-Sandbox-Port", "80")],
        b"",
    );
    refused(&gone, 502, "The sandbox was not found");
    assert_eq!(to("GET", "/health", &[], b"").status, 204);
}
