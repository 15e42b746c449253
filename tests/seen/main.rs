//! The server as it is seen from outside: what sandboxes use, what happens to them, what is counted, what is
//! logged, what is documented, the page and its terminal.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot be set up has failed

mod log;
mod server;
mod socket;

use serde_json::Value;
use server::{KEY, Server};
use socket::Socket;
use std::io::{BufRead as _, BufReader};

/// The events of a stream that is followed, until one is of `last`.
fn followed(stream: std::net::TcpStream, last: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.expect("a line");
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        let event: Value = serde_json::from_str(data).expect("JSON");
        let kind = event["kind"].as_str().unwrap_or_default().to_owned();
        events.push(event);
        if kind == last {
            break;
        }
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect()
}

#[test]
fn what_a_sandbox_uses_and_what_happened_to_it_is_told() {
    let server = Server::start(&[]);
    let created = server.create();
    let id = created["sandboxID"].as_str().unwrap();
    let all = server.open(&format!("GET /v1/events?follow\nX-API-Key: {KEY}"), "");
    let one = server.open(
        &format!("GET /v1/sandboxes/{id}/events?follow\nX-API-Key: {KEY}"),
        "",
    );

    let path = format!("/sandboxes/{id}/metrics");
    let metrics = server.until(&path, |metrics| {
        metrics.as_array().is_some_and(|m| !m.is_empty())
    });
    let metric = metrics[0].as_object().unwrap();
    for field in [
        "timestamp",
        "timestampUnix",
        "cpuCount",
        "cpuUsedPct",
        "memUsed",
        "memTotal",
        "memCache",
        "diskUsed",
        "diskTotal",
    ] {
        assert!(metric.contains_key(field), "{field}: {metrics}");
    }
    assert!(
        metric["memTotal"].as_u64() > metric["memUsed"].as_u64(),
        "{metrics}"
    );
    assert!(metric["diskTotal"].as_u64() > Some(0), "{metrics}");
    let birth = metric["timestampUnix"].as_u64().unwrap() - 60;
    let before = server
        .get(&format!("{path}?start=0&end={birth}"))
        .expect(200);
    assert_eq!(before.body, "[]");
    let wrong = server.get(&format!("{path}?start=soon")).expect(400).json();
    assert!(
        wrong["message"].as_str().unwrap().starts_with("start: "),
        "{wrong}"
    );
    let latest = server
        .get(&format!("/sandboxes/metrics?sandbox_ids={id},i0"))
        .expect(200)
        .json();
    assert_eq!(
        latest["sandboxes"].as_object().unwrap().len(),
        1,
        "{latest}"
    );

    server
        .post(&format!("/sandboxes/{id}/pause"), "")
        .expect(204);
    let live = server.get("/v1/sandboxes").expect(200).json();
    assert_eq!(live["sandboxes"][0]["state"], "paused", "{live}");
    server
        .post(&format!("/v2/sandboxes/{id}/connect"), r#"{"timeout":60}"#)
        .expect(201);
    server
        .ask(&format!("DELETE /sandboxes/{id}\nX-API-Key: {KEY}"), "")
        .expect(204);

    // The stream of one ends with it, that of all goes on.
    let one = followed(one, "none");
    assert_eq!(kinds(&one), ["created", "paused", "resumed", "ended"]);
    assert_eq!(one[3]["cause"], "killed");
    assert_eq!(
        kinds(&followed(all, "ended")),
        ["paused", "resumed", "ended"]
    );
    let told = server
        .get(&format!("/v1/sandboxes/{id}/events"))
        .expect(200)
        .json();
    assert_eq!(
        told["events"].as_array().unwrap(),
        &one,
        "kept, and no other"
    );
    let resumed = format!(
        "GET /v1/sandboxes/{id}/events?follow\nX-API-Key: {KEY}\nLast-Event-ID: {}",
        one[1]["id"].as_str().unwrap()
    );
    assert_eq!(
        kinds(&followed(server.open(&resumed, ""), "ended")),
        ["resumed", "ended"]
    );

    let logs = server
        .get(&format!("/sandboxes/{id}/logs"))
        .expect(200)
        .json();
    assert_eq!(logs["logs"].as_array().unwrap().len(), 4, "{logs}");
    let line = logs["logs"][3]["line"].as_str().unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["level"], &line["cause"]),
        (&"info".into(), &"killed".into()),
        "{logs}"
    );
    let v2 = |query: &str| {
        server
            .get(&format!("/v2/sandboxes/{id}/logs?{query}"))
            .expect(200)
            .json()
    };
    let last = v2("direction=backward&limit=1");
    assert_eq!(last["logs"][0]["fields"]["cause"], "killed", "{last}");
    assert_eq!(v2("search=resumed")["logs"].as_array().unwrap().len(), 1);
    assert_eq!(v2("level=error")["logs"].as_array().unwrap().len(), 0);
    let ended = server.get("/v1/sandboxes?state=ended").expect(200).json();
    assert_eq!(ended["sandboxes"][0]["ended"]["cause"], "killed", "{ended}");
    server.get("/v1/sandboxes/i0/events").expect(404);
    server.get("/sandboxes/i0/logs").expect(404);
}

#[test]
fn a_terminal_works_and_a_kill_for_want_of_memory_is_told_while_the_sandbox_lives() {
    let server = Server::start(&[("SOULBOX_SANDBOX_MEMORY", "256M")]);
    let created = server.create();
    let id = created["sandboxID"].as_str().unwrap();
    let path = format!("/v1/sandboxes/{id}/terminal?cols=100&rows=30");
    assert_eq!(Socket::open(&server, &path, "e2b_wrong").err(), Some(401));
    let mut socket = Socket::open(&server, &path, KEY).expect("a terminal");
    socket.type_in("stty size; echo $((6 * 7))-$TERM\n");
    socket.shows("30 100");
    socket.shows("42-xterm-256color");
    socket.tell(r#"{"resize":{"cols":90,"rows":20}}"#);
    socket.type_in("stty size\n");
    socket.shows("20 90");
    let metrics = server.ask("GET /metrics", "").expect(200).body;
    assert!(metrics.contains("soulbox_gateway_terminals 1"), "{metrics}");

    let events = server.open(
        &format!("GET /v1/sandboxes/{id}/events?follow\nX-API-Key: {KEY}"),
        "",
    );
    socket.type_in("head -c 2G /dev/zero | tail\n");
    let events = followed(events, "process_out_of_memory");
    let detail = events.last().unwrap()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        detail.starts_with("Linux killed tail, which held "),
        "{detail}"
    );
    server.get(&format!("/sandboxes/{id}")).expect(200);

    socket.type_in("exit 7\n");
    let end = socket.word();
    assert_eq!(end["exit"]["code"], 7, "{end}");
    let plain = server.get(&path).expect(426).json();
    assert!(
        plain["message"].as_str().unwrap().contains("WebSocket"),
        "{plain}"
    );
}

#[test]
fn the_log_names_each_request_and_no_secret() {
    let server = Server::start(&[
        ("SOULBOX_LOG_LEVEL", "trace"),
        ("SOULBOX_LOG_FORMAT", "json"),
    ]);
    let created = server.create();
    let id = created["sandboxID"].as_str().unwrap().to_owned();
    let token = created["envdAccessToken"].as_str().unwrap().to_owned();
    let own = server.ask(
        &format!("GET /sandboxes/{id}\nX-API-Key: {KEY}\nX-Request-Id: trace-7"),
        "",
    );
    assert!(own.expect(200).head.contains("x-request-id: trace-7"));
    server
        .ask(&format!("GET /teams\nAuthorization: Bearer {KEY}"), "")
        .expect(200);
    server
        .ask("GET /teams\nX-API-Key: e2b_wrongwrongwrong", "")
        .expect(401);
    server
        .ask(&format!("GET /teams?api_key={KEY}&token={token}"), "")
        .expect(401);
    server
        .ask(&format!("GET /nowhere/{KEY}?x=1"), "")
        .expect(404);
    let header = format!("E2b-Sandbox-Id: {id}\nE2b-Sandbox-Port: 49983");
    server
        .ask(
            &format!("GET /files?path=/etc/passwd\n{header}\nX-Access-Token: {token}"),
            "",
        )
        .expect(200);
    server
        .ask(
            "GET /files?path=/x&signature=v1_secretsecret&signature_expiration=9",
            "",
        )
        .expect(401);
    server.ask(
        &format!("GET /x?reset=hunter2\nE2b-Sandbox-Id: {id}\nE2b-Sandbox-Port: 8080"),
        "",
    );
    server
        .ask(
            &format!("GET /sandboxes/{id}\nX-API-Key: {KEY}\nX-Request-Id: bad id"),
            "",
        )
        .expect(200);

    let log = server.stop();
    for secret in [KEY, &token, "wrongwrongwrong", "secretsecret", "hunter2"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret in the log");
    }
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "answered")
        .collect();
    assert!(answered.len() >= 10, "{answered:?}");
    let mine = answered
        .iter()
        .find(|line| line["span"]["id"] == "trace-7")
        .expect("its line");
    assert_eq!(mine["sandbox"], id.as_str());
    assert_eq!(mine["status"], 200);
    assert!(mine["micros"].as_u64() > Some(0), "{mine}");
    assert!(!log.contains("bad id"), "an id with a space cannot be one");
}

#[test]
fn what_is_documented_answers_and_the_page_and_the_figures_are_told() {
    let server = Server::start(&[]);
    let document = server.ask("GET /openapi.json", "").expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    let mut asked = 0;
    for (path, methods) in paths {
        for (method, told) in methods.as_object().unwrap() {
            let path: Vec<_> = path
                .split('/')
                .map(|part| part.replace(['{', '}'], ""))
                .collect();
            let (path, method) = (path.join("/"), method.to_uppercase());
            // Behind a proxy even this machine needs a key.
            let answer = server.ask(&format!("{method} {path}\nX-Forwarded-For: 192.0.2.1"), "");
            let keyed = told.get("security").is_some();
            let is_page = path.starts_with("/page/");
            // The signature in its address is what it takes in place of a key.
            let signed = method == "PUT" && path.starts_with("/templates/");
            let wanted = if keyed {
                401
            } else if signed {
                403
            } else if is_page {
                404
            } else {
                200
            };
            assert_eq!(answer.status, wanted, "{method} {path}: {answer:?}");
            assert!(
                !answer.body.contains("there is nothing at"),
                "{method} {path}"
            );
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");

    let page = server.ask("GET /\nAccept: text/html,*/*", "").expect(200);
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'"),
        "{page:?}"
    );
    assert!(page.body.contains("<title>SoulBox</title>"));
    for file in [
        "page.js",
        "page.css",
        "xterm.js",
        "addon-fit.js",
        "xterm.css",
    ] {
        let file = server.ask(&format!("GET /page/{file}"), "").expect(200);
        assert!(
            file.head.contains("nosniff") && !file.body.is_empty(),
            "{}",
            file.head
        );
    }
    let other = server.ask("GET /\nAccept: */*", "").expect(200).json();
    assert_eq!(other["openapi"], "/openapi.json");

    server.create();
    let metrics = server.ask("GET /metrics", "").expect(200).body;
    for line in [
        r#"http_requests_total{surface="e2b",method="POST",status="2xx"} 1"#,
        "vm_creation_duration_seconds_count 1",
        r#"soulbox_control_sandboxes{state="running"} 1"#,
        r#"soulbox_node_pool_wanted{pool="parked"} 2"#,
        r#"soulbox_gateway_errors_total{kind="unauthorized"}"#,
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
