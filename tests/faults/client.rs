//! Clients that are slow, vanish, or are too many. Others must not notice.

use crate::ground::{
    PLAIN, api, create, descriptors, kill, list, memory, never_panicked, serve, soon, to_agent,
    works,
};
use soulbox_tests::Soulbox;
use soulbox_tests::http::{ask, connect};
use soulbox_tests::server::Server;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How soon somebody else must be answered, whatever goes on.
const PROMPT: Duration = Duration::from_secs(2);

/// A server that keeps no sandboxes ready, so that what it has open is what clients make it open.
fn plain() -> Server {
    let settings = [("SOULBOX_POOL_PARKED", "0")];
    serve(&Arc::new(Soulbox::new()), &settings)
}

fn impatient() -> Server {
    let settings = [
        ("SOULBOX_SERVER_HEADER_TIMEOUT", "1s"),
        ("SOULBOX_SERVER_BODY_TIMEOUT", "1s"),
        ("SOULBOX_SERVER_IDLE_TIMEOUT", "2s"),
    ];
    serve(&Arc::new(Soulbox::new()), &settings)
}

/// Somebody else is answered at once.
#[track_caller]
fn others_are_served(server: &Server) {
    let began = Instant::now();
    assert_eq!(api(server, "GET", "/v2/sandboxes", b"").status, 200);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

/// Writes byte by byte until the other side has had enough; what it answered, and after how long.
fn drip(mut stream: TcpStream, bytes: &[u8]) -> (String, Duration) {
    let began = Instant::now();
    let pause = Some(Duration::from_millis(50));
    stream.set_read_timeout(pause).expect("a limit");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    for byte in bytes.iter().cycle() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is never cut");
        let _ = stream.write_all(&[*byte]);
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                answer.extend_from_slice(&piece[..length]);
                if answer.ends_with(b"}") {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    (
        String::from_utf8_lossy(&answer).into_owned(),
        began.elapsed(),
    )
}

#[test]
fn heads_and_bodies_that_drip_are_cut() {
    let server = impatient();
    let sandbox = create(&server);
    // A head that never ends.
    let (answer, after) = drip(connect(&server), b"x");
    assert!(after > Duration::from_millis(900), "{after:?} {answer}");
    others_are_served(&server);
    // A JSON body: its time is the whole body's.
    let mut stream = connect(&server);
    let head = format!(
        "POST /v2/sandboxes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {}\r\nContent-Length: 100000\r\n\r\n",
        server.key()
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let (answer, _) = drip(stream, b" ");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("server.body_timeout"), "{answer}");
    // A file whose rest never comes.
    let mut stream = connect(&server);
    let head = format!(
        "POST /files?path=/tmp/x HTTP/1.1\r\nHost: a\r\nE2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: 49983\r\n\
         X-Access-Token: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nbegun",
        sandbox.0, sandbox.1
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let began = Instant::now();
    let mut first = [0; 13];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 408 ");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    others_are_served(&server);
    assert!(works(&server, &sandbox));
    never_panicked(&server);
}

/// Bytes of the file that nobody reads.
const LARGE: usize = 32 << 20;

#[test]
fn a_reader_that_never_reads_costs_no_memory() {
    let server = plain();
    let sandbox = create(&server);
    let octets = [("Content-Type", "application/octet-stream")];
    let headers = [&to_agent(&sandbox)[..], &octets].concat();
    let body = vec![b'x'; LARGE];
    let written = ask(&server, "POST", "/files?path=/tmp/large", &headers, &body);
    assert_eq!(written.status, 200, "{written:?}");
    let open = descriptors(&server);
    let before = memory(&server);
    let head = format!(
        "GET /files?path=/tmp/large HTTP/1.1\r\nHost: a\r\nE2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: 49983\r\n\
         X-Access-Token: {}\r\n\r\n",
        sandbox.0, sandbox.1
    );
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(head.as_bytes()).expect("a head");
            let mut first = [0; 15];
            stream
                .read_exact(&mut first)
                .expect("the beginning of an answer");
            assert_eq!(&first, b"HTTP/1.1 200 OK");
            stream
        })
        .collect();
    others_are_served(&server);
    std::thread::sleep(Duration::from_millis(500));
    let during = memory(&server);
    assert!(
        during < before + 16 * 1024,
        "{before} KiB, then {during} KiB"
    );
    assert!(works(&server, &sandbox));
    drop(readers);
    soon(
        || "their descriptors are closed",
        || descriptors(&server) <= open + 10,
    );
    never_panicked(&server);
}

/// Its head's and its body's every part.
#[test]
fn clients_that_vanish_leave_only_what_is_listed() {
    let server = plain();
    let sandbox = create(&server);
    let open = descriptors(&server);
    let create_text = format!(
        "POST /v2/sandboxes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {}\r\nContent-Length: {}\r\n\r\n{}",
        server.key(),
        PLAIN.len(),
        String::from_utf8_lossy(PLAIN)
    );
    let agent = format!(
        "HTTP/1.1\r\nHost: a\r\nE2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: {}\r\n",
        sandbox.0, sandbox.1
    );
    let upload = format!(
        "POST /files?path=/tmp/y {agent}Content-Type: application/octet-stream\r\nContent-Length: 5000\r\n\r\n{}",
        "y".repeat(4000)
    );
    let start = r#"{"process":{"cmd":"/bin/sleep","args":["600"]}}"#;
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(start.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(start.as_bytes());
    let stream = format!(
        "POST /process.Process/Start {agent}Content-Type: application/connect+json\r\nConnect-Protocol-Version: 1\r\n\
         Content-Length: {}\r\n\r\n{}",
        frame.len(),
        String::from_utf8_lossy(&frame)
    );
    for (text, pieces) in [(&create_text, 12), (&upload, 8), (&stream, 8)] {
        for piece in 1..=pieces {
            let mut cut = connect(&server);
            let length = text.len() * piece / pieces;
            cut.write_all(&text.as_bytes()[..length])
                .expect("some of it");
        }
    }
    // Some creates came whole; whoever asked for them does not know their ids, but the list does.
    let mut others = 0;
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        for id in list(&server).into_iter().filter(|id| *id != sandbox.0) {
            assert_eq!(kill(&server, &id).status, 204);
            others += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(others <= 1, "{others} came of one whole request");
    assert!(works(&server, &sandbox));
    soon(
        || "their descriptors are closed",
        || descriptors(&server) <= open + 8,
    );
    never_panicked(&server);
}

#[test]
fn a_thousand_idle_connections_cost_little() {
    let server = plain();
    let sandbox = create(&server);
    let (before, open) = (memory(&server), descriptors(&server));
    let idle: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut stream = connect(&server);
            let head = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
            stream.write_all(head).expect("a head");
            let mut first = [0; 15];
            stream.read_exact(&mut first).expect("an answer");
            stream
        })
        .collect();
    others_are_served(&server);
    assert!(works(&server, &sandbox));
    let each = memory(&server).saturating_sub(before) / 1000;
    println!("{each} KiB for each idle connection");
    // `soulbox bench serve` has the figure of a program as people run it; this one may be built to be debugged.
    assert!(each <= 64, "{each} KiB for each idle connection");
    drop(idle);
    soon(
        || "their descriptors are closed",
        || descriptors(&server) <= open + 4,
    );
    never_panicked(&server);
}

#[test]
fn connections_beyond_the_limit_wait_until_idle_ones_are_cut() {
    let settings = [
        ("SOULBOX_SERVER_CONNECTIONS", "16"),
        ("SOULBOX_SERVER_HEADER_TIMEOUT", "1s"),
        ("SOULBOX_SERVER_IDLE_TIMEOUT", "1s"),
    ];
    let server = serve(&Arc::new(Soulbox::new()), &settings);
    let hogs: Vec<TcpStream> = (0..64).map(|_| connect(&server)).collect();
    let began = Instant::now();
    assert_eq!(api(&server, "GET", "/v2/sandboxes", b"").status, 200);
    // Four rounds of sixteen that say nothing for a second each.
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    drop(hogs);
    others_are_served(&server);
    never_panicked(&server);
}
