//! Who goes away ends the run, and a server that is killed leaves nothing of its runs.

use crate::server::{code, events, live, text, until};
use serde_json::json;
use soulbox_tests::http;
use soulbox_tests::processes_with;
use soulbox_tests::server::Server;
use std::io::Write as _;

/// Sends a request and gives the connection.
fn begin(server: &Server, asked: &serde_json::Value) -> std::net::TcpStream {
    let body = asked.to_string();
    let mut stream = http::connect(server);
    let head = format!(
        "POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {}\r\nContent-Length: {}\r\n\r\n{body}",
        server.key(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    stream
}

#[test]
fn who_hangs_up_ends_the_run_whatever_it_was_at() {
    let server = Server::start();
    let asked = json!({"language": "bash", "code": "sleep 12345.25"});
    // At once, while it waits or is made, and when it runs.
    for pause in [0, 1, 3, 10, 30] {
        let stream = begin(&server, &asked);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        drop(stream);
    }
    let stream = begin(&server, &asked);
    // One of those before may still be on its way out.
    let mut id = None;
    until("the run", || {
        id = live(&server).pop();
        id.is_some() && !processes_with("sleep 12345.25").is_empty()
    });
    let id = id.expect("a sandbox");
    drop(stream);
    until("the end of all runs", || live(&server).is_empty());
    until("the end of its processes", || {
        processes_with("sleep 12345.25").is_empty()
    });
    until("its cause", || {
        events(&server, &id)
            .iter()
            .any(|event| event["cause"] == "killed")
    });
    assert_eq!(
        text(&code(&server, "bash", "echo well"), "stdout"),
        "well\n"
    );
}

#[test]
fn a_server_that_is_killed_leaves_nothing_of_its_runs() {
    let mut server = Server::start();
    let asked = json!({"language": "bash", "code": "sleep 23456.5"});
    let runs: Vec<_> = (0..3).map(|_| begin(&server, &asked)).collect();
    until("the runs", || processes_with("sleep 23456.5").len() >= 3);
    server.crash();
    drop(runs);
    until("the end of its processes", || {
        processes_with("sleep 23456.5").is_empty()
    });
    assert!(live(&server).is_empty());
    assert_eq!(
        text(&code(&server, "bash", "echo well"), "stdout"),
        "well\n"
    );
}
