//! Output from any offset, while a command runs and afterwards.

use crate::http::{ask, open, request};
use crate::server::{Server, path};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};

/// An event of a stream.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// The events of a stream, as they come.
struct Events(BufReader<std::net::TcpStream>);

impl Events {
    fn follow(server: &Server, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = open(server.address()).expect("a connection");
        let bytes = request(server, "GET", target, headers, b"");
        stream.write_all(&bytes).expect("a request");
        Self(BufReader::new(stream))
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("a line") == 0 {
                return None;
            }
            // Heads and lengths of chunks are no fields of events.
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => {
                    event.data = serde_json::from_str(data).expect("JSON");
                    return Some(event);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn output_is_followed_and_taken_up_again() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let command = server.command(&sandbox, &json!({"cmd": ["cat"], "stdin": true}));
    let at = path(&command);
    let write = |text: &[u8], close: bool| {
        let target = format!("{at}/stdin?close={close}");
        server.ask("POST", &target, text).expect(204);
    };
    let target = format!("{at}/output?follow");
    let mut first = Events::follow(&server, &target, &[]);
    write(b"one\n", false);
    let one = first.next().expect("an event");
    assert_eq!((one.name.as_str(), one.id.as_str()), ("stdout", "4.0"));
    assert_eq!(one.data["text"], "one\n");
    // It goes away, and misses something.
    drop(first);
    write(b"two\n", false);
    let mut again = Events::follow(&server, &target, &[("Last-Event-ID", &one.id)]);
    let two = again.next().expect("an event");
    assert_eq!(
        (&two.data["offset"], &two.data["text"]),
        (&json!(4), &json!("two\n"))
    );
    write(b"\xff", true);
    let rest: Vec<_> = again.collect();
    let names: Vec<_> = rest.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["stdout", "end"]);
    assert_eq!(rest[0].data["base64"], "/w==");
    assert!(rest[0].data["text"].is_null(), "it is no text");
    assert_eq!(rest[1].data["exit_code"], 0);
    // Afterwards, all of it, and then the end.
    let whole: Vec<_> = Events::follow(&server, &target, &[]).collect();
    assert_eq!(whole.len(), 2, "{whole:?}");
    assert_eq!(whole[0].data["base64"], "b25lCnR3bwr/");
}

#[test]
fn bytes_are_read_from_any_offset() {
    let server = Server::start();
    let sandbox = server.sandbox();
    let script = "printf 0123456789; read line; printf abcdef";
    let command = server.command(
        &sandbox,
        &json!({"cmd": ["/bin/sh", "-c", script], "stdin": true}),
    );
    let at = path(&command);
    // The first event says that it has written.
    let target = format!("{at}/output?follow=true");
    Events::follow(&server, &target, &[])
        .next()
        .expect("an event");
    let read = |query: &str| server.get(&format!("{at}/stdout?{query}")).expect(200);
    let piece = read("offset=3&limit=4");
    assert_eq!(piece.text(), "3456");
    assert_eq!(piece.header("soulbox-next-offset"), Some("7"));
    assert_eq!(piece.header("soulbox-end"), Some("false"));
    let none = read("offset=10");
    assert_eq!(
        (none.text().as_str(), none.header("soulbox-end")),
        ("", Some("false"))
    );
    server
        .ask("POST", &format!("{at}/stdin"), b"\n")
        .expect(204);
    server.wait(&command);
    let rest = read("offset=8");
    assert_eq!(rest.text(), "89abcdef");
    assert_eq!(rest.header("soulbox-end"), Some("true"));
    assert_eq!(rest.header("soulbox-cut"), Some("false"));
    let beyond = read("offset=18446744073709551615");
    assert_eq!(
        (beyond.text().as_str(), beyond.header("soulbox-end")),
        ("", Some("true"))
    );
}

#[test]
fn what_is_too_much_is_cut_and_counted() {
    let server = Server::start_with(&[("SOULBOX_COMMANDS_OUTPUT", "64K")]);
    let sandbox = server.sandbox();
    let script = "yes | head -c 1000000; echo end >&2";
    let command = server.command(&sandbox, &json!({"cmd": ["/bin/sh", "-c", script]}));
    let ended = server.wait(&command);
    let expected = json!({"total": 1_000_000, "kept": 65_536, "cut": true});
    assert_eq!(ended["stdout"], expected);
    assert_eq!(ended["stderr"]["kept"], 4);
    let out = server
        .get(&format!("{}/stdout", path(&command)))
        .expect(200);
    assert_eq!(out.body.len(), 65_536);
    assert!(out.body.chunks(2).all(|two| two == b"y\n"));
    assert_eq!(out.header("soulbox-cut"), Some("true"));
    assert_eq!(out.header("soulbox-total"), Some("1000000"));
}

#[test]
fn the_oldest_are_forgotten() {
    let server = Server::start_with(&[("SOULBOX_COMMANDS_KEPT", "3")]);
    let sandbox = server.sandbox();
    let target = format!("/v1/sandboxes/{sandbox}/commands");
    let run = |text: &str| {
        let asked = json!({"cmd": ["echo", text]});
        let record = ask(
            &server,
            "POST",
            &format!("{target}?wait_ms=60000"),
            &[],
            asked.to_string().as_bytes(),
        );
        record.expect(201).json()
    };
    let all: Vec<_> = (0..6).map(|number| run(&number.to_string())).collect();
    // An end is told before it is kept; the list shows both kinds, so ask for what must be gone.
    let gone = || server.get(&path(&all[2])).status == 404;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !gone() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(gone(), "it was kept");
    let last = server.get(&format!("{}/stdout", path(&all[5]))).expect(200);
    assert_eq!(last.text(), "5\n");
}
