//! E2B's own command line.

use crate::client::Client;
use crate::server::Server;
use serde_json::Value;
use std::process::{Output, Stdio};

const CLI: Client = Client::CommandLine("2.19.0");

/// Runs it with `input`, with a home of its own, as what is no terminal.
fn run(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut command = CLI.interpreter();
    let mut child = command
        .args(arguments)
        .env("E2B_API_URL", server.url())
        .env("E2B_SANDBOX_URL", server.url())
        .env("E2B_API_KEY", server.key())
        .env("HOME", server.home())
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
fn says_what_is_not_built_and_that_a_key_is_wrong() {
    let server = Server::start();
    let templates = run(&server, &["template", "list"], b"");
    let told = String::from_utf8_lossy(&templates.stderr).into_owned();
    assert!(
        code(&templates) != 0 && told.contains("not built"),
        "{told}"
    );
    let mut command = CLI.interpreter();
    let wrong = format!("e2b_{}", "0".repeat(40));
    let output = command
        .args(["sandbox", "list"])
        .env("E2B_API_URL", server.url())
        .env("E2B_API_KEY", wrong)
        .env("HOME", server.home())
        .stdin(Stdio::null())
        .output()
        .expect("the client starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(code(&output) != 0 && told.contains("API key"), "{told}");
}
