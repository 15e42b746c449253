//! `port-forward`.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::server::Server;
use soulbox_tests::wait_for;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;

/// Answers each connection with what it sent, in capitals, when it has sent all.
pub(super) const SERVER: &str = "
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b'hello ' + self.rfile.read().upper())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
with Server(('127.0.0.1', 7000), Handler) as server:
    print('ready', flush=True)
    server.serve_forever()
";

#[test]
fn connections_go_to_the_port_byte_for_byte() {
    let server = Server::start();
    let id = server.create(&[]);
    let mut inside = server
        .client()
        .command(["exec", &id, "--", "python3", "-c", SERVER]);
    let mut inside = inside.spawn().expect("starts");
    wait_for(&mut inside, "ready");
    let mut forward = server.client().command(["port-forward", &id, "0:7000"]);
    let mut forward = forward.stderr(Stdio::piped()).spawn().expect("starts");
    let mut told = String::new();
    let mut stdout = BufReader::new(forward.stdout.take().expect("a pipe"));
    stdout.read_line(&mut told).expect("a line");
    let address = told
        .split_whitespace()
        .next()
        .expect("an address")
        .to_owned();
    let talk = |number: usize| {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        let sent = format!("{number} {}", "x".repeat(100_000));
        stream.write_all(sent.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("its end");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, format!("hello {}", sent.to_uppercase()));
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || talk(number));
        }
    });
    kill_process(Pid::from_child(&forward), Signal::INT).expect("a signal");
    assert_eq!(forward.wait().expect("it ends").code(), Some(0));

    // A port on which nothing listens, and a sandbox that goes.
    let mut forward = server.client().command(["port-forward", &id, "0:7001"]);
    let mut forward = forward.stderr(Stdio::piped()).spawn().expect("starts");
    let mut told = String::new();
    let mut stdout = BufReader::new(forward.stdout.take().expect("a pipe"));
    stdout.read_line(&mut told).expect("a line");
    let address = told
        .split_whitespace()
        .next()
        .expect("an address")
        .to_owned();
    let closed = || {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        let mut answer = Vec::new();
        // It may be cut before it is read.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    };
    closed();
    server.run(["kill", &id]).expect_code(0);
    closed();
    let ended = soulbox_tests::end(forward);
    ended.expect_code(241).expect_stderr(&["port 7001", &id]);
    let _ = inside.wait();
    for wrong in ["0", "x", "1:2:3", "70000"] {
        server.run(["port-forward", "iabc", wrong]).expect_code(240);
    }
}
