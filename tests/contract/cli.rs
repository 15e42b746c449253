//! E2B's own command line.

use crate::client::Client;
use crate::server::Server;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CLI: Client = Client::CommandLine("2.19.0");

/// It, with a home of its own.
fn command(server: &Server) -> Command {
    let mut command = CLI.interpreter();
    command
        .env("E2B_API_URL", server.url())
        .env("E2B_SANDBOX_URL", server.url())
        .env("E2B_API_KEY", server.key())
        .env("HOME", server.home());
    command
}

/// Runs it with `input`, as what is no terminal.
fn run(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(server)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("the pipe takes it");
    drop(stdin);
    child.wait_with_output().expect("the client ends")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Runs it, wants its success, and gives what it printed.
fn say(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments, b"");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(code(&output), 0, "{arguments:?}: {stdout}{stderr}");
    stdout.into_owned()
}

fn listed(server: &Server, state: &str) -> Vec<String> {
    let text = say(
        server,
        &["sandbox", "list", "--state", state, "--format", "json"],
    );
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let ids = all.as_array().expect("a list").iter();
    ids.map(|each| each["sandboxId"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn makes_uses_pauses_and_ends_a_sandbox() {
    let server = Server::start();
    let server = &server;
    assert!(listed(server, "running").is_empty());
    let id = say(server, &["sandbox", "create", "base", "--detach"]);
    let id = id.trim();
    assert_eq!(listed(server, "running"), [id]);
    assert!(say(server, &["sandbox", "info", id]).contains("State: running"));
    assert_eq!(say(server, &["sandbox", "exec", id, "echo", "hi"]), "hi\n");
    assert_eq!(
        say(
            server,
            &[
                "sandbox",
                "exec",
                "-u",
                "root",
                "-c",
                "/tmp",
                "-e",
                "A=b",
                id,
                "echo $(id -u) $PWD $A"
            ]
        ),
        "0 /tmp b\n"
    );
    let piped = run(server, &["sandbox", "exec", id, "cat"], b"piped");
    assert_eq!(piped.stdout, b"piped", "{piped:?}");
    let failed = run(server, &["sandbox", "exec", id, "exit 7"], b"");
    assert_eq!(code(&failed), 7, "{failed:?}");
    say(server, &["sandbox", "pause", id]);
    assert_eq!(
        (listed(server, "running").len(), listed(server, "paused")),
        (0, vec![id.to_owned()])
    );
    say(server, &["sandbox", "resume", id]);
    assert_eq!(listed(server, "running"), [id]);
    assert!(say(server, &["sandbox", "kill", id]).contains("has been killed"));
    assert!(listed(server, "running").is_empty());
    let gone = run(server, &["sandbox", "info", id], b"");
    assert_eq!(code(&gone), 1, "{gone:?}");
}

#[test]
fn tells_the_log_and_what_is_used() {
    let server = Server::start();
    let id = say(
        &server,
        &["sandbox", "create", "base", "--detach", "--timeout", "600"],
    );
    let id = id.trim();
    let metrics = || say(&server, &["sandbox", "metrics", "--format", "json", id]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !metrics().contains("memTotal") {
        assert!(Instant::now() < deadline, "no sample: {}", metrics());
    }
    say(&server, &["sandbox", "pause", id]);
    let log = say(&server, &["sandbox", "logs", "--format", "json", id]);
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let messages: Vec<_> = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect();
    assert!(messages[0].starts_with("sandbox created"), "{log}");
    let last = messages.last().expect("a line");
    assert!(last.starts_with("sandbox paused"), "{log}");
    let pretty = say(&server, &["sandbox", "logs", id]);
    assert!(pretty.contains("sandbox paused"), "{pretty}");
    assert!(!say(&server, &["sandbox", "logs", "--level", "ERROR", id]).contains("paused"));
}

#[test]
fn ends_all_at_once() {
    let server = Server::start();
    for _ in 0..3 {
        say(&server, &["sandbox", "create", "base", "--detach"]);
    }
    assert_eq!(listed(&server, "running").len(), 3);
    say(
        &server,
        &["sandbox", "kill", "--all", "--metadata", "no=such"],
    );
    assert_eq!(listed(&server, "running").len(), 3);
    say(&server, &["sandbox", "kill", "--all"]);
    assert!(listed(&server, "running").is_empty());
}

#[test]
fn says_what_is_not_built_and_that_a_key_is_wrong() {
    let server = Server::start();
    let listed = say(&server, &["template", "list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let names = listed[0]["names"].as_array().expect("names");
    assert!(names.contains(&Value::from("base")), "{listed}");
    let removed = run(&server, &["template", "delete", "base", "-y"], b"");
    let told = String::from_utf8_lossy(&removed.stderr).into_owned();
    // Those of the machine are removed on its command line.
    assert!(code(&removed) != 0 && told.contains("not found"), "{told}");
    let wrong = format!("e2b_{}", "0".repeat(40));
    let output = command(&server)
        .args(["sandbox", "list"])
        .env("E2B_API_KEY", wrong)
        .stdin(Stdio::null())
        .output()
        .expect("the client starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(code(&output) != 0 && told.contains("API key"), "{told}");
}

/// A client on a terminal of its own.
struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    /// Starts it in a terminal.
    fn start(server: &Server, arguments: &[&str]) -> (Self, Child) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let path = ptsname(&master, Vec::new()).expect("its name");
        let path = path.to_str().expect("a path");
        let slave = || {
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .expect("the terminal")
        };
        let child = command(server)
            .args(arguments)
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("the client starts");
        let master = File::from(master);
        (
            Self {
                master,
                seen: String::new(),
            },
            child,
        )
    }

    fn type_in(&mut self, text: &str) {
        self.master
            .write_all(text.as_bytes())
            .expect("the terminal takes it");
    }

    /// Reads until the text was shown.
    fn expect(&mut self, text: &str) {
        let mut piece = [0; 4096];
        while !self.seen.contains(text) {
            let length = self.master.read(&mut piece).unwrap_or(0);
            assert!(length > 0, "no {text:?} in {:?}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }
}

#[test]
fn connects_a_terminal() {
    let server = Server::start();
    let (mut terminal, mut child) = Terminal::start(&server, &["sandbox", "create", "base"]);
    terminal.expect("$ ");
    terminal.type_in("echo $((6*7))-$(id -un)\n");
    terminal.expect("42-user");
    terminal.type_in("exit\n");
    terminal.expect("Closing terminal connection");
    assert!(child.wait().expect("the client ends").success());
}
