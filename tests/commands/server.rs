//! A server that can be killed and started again.

use crate::http::{Answer, ask};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use soulbox_tests::Soulbox;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

/// A server that runs until this is dropped.
pub(crate) struct Server {
    soulbox: Soulbox,
    variables: Vec<(&'static str, &'static str)>,
    running: Running,
}

struct Running {
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    /// Host and port.
    address: String,
    key: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these variables.
    pub(crate) fn start_with(variables: &[(&'static str, &'static str)]) -> Self {
        let soulbox = Soulbox::new();
        let running = run(&soulbox, variables);
        Self {
            soulbox,
            variables: variables.to_vec(),
            running,
        }
    }

    /// Kills it as nothing can prepare for, and starts another one in its place.
    pub(crate) fn crash(&mut self) {
        let _ = kill_process(Pid::from_child(&self.running.child), Signal::KILL);
        let _ = self.running.child.wait();
        self.running = run(&self.soulbox, &self.variables);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.running.address
    }

    pub(crate) fn key(&self) -> &str {
        &self.running.key
    }

    /// Asks with the server's key.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        ask(self, method, target, &[], body)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, b"")
    }

    #[track_caller]
    pub(crate) fn post(&self, target: &str, body: &Value) -> Answer {
        self.ask("POST", target, body.to_string().as_bytes())
    }

    /// Makes a sandbox; its id.
    #[track_caller]
    pub(crate) fn sandbox(&self) -> String {
        let asked = json!({"templateID": "host", "timeout": 600, "allow_internet_access": false});
        let made = self.post("/v2/sandboxes", &asked).expect(201).json();
        made["sandboxID"].as_str().expect("an id").to_owned()
    }

    /// Starts a command; its record.
    #[track_caller]
    pub(crate) fn command(&self, sandbox: &str, asked: &Value) -> Value {
        let target = format!("/v1/sandboxes/{sandbox}/commands");
        self.post(&target, asked).expect(201).json()
    }

    /// Waits for the end of a command; its record.
    #[track_caller]
    pub(crate) fn wait(&self, command: &Value) -> Value {
        let target = format!("{}/wait?timeout_ms=60000", path(command));
        self.get(&target).expect(200).json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.running.child), Signal::TERM);
        let _ = self.running.child.wait();
    }
}

/// The path of a command by its record.
pub(crate) fn path(command: &Value) -> String {
    let text = |field: &str| command[field].as_str().expect("an id").to_owned();
    format!(
        "/v1/sandboxes/{}/commands/{}",
        text("sandbox_id"),
        text("id")
    )
}

fn run(soulbox: &Soulbox, variables: &[(&'static str, &'static str)]) -> Running {
    let log = File::options()
        .create(true)
        .append(true)
        .open(soulbox.home().join("log"))
        .expect("a file");
    let usual = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--allow-host-template",
        "--end-on-stop",
    ];
    let mut command = soulbox.command(usual);
    // Many run at once; each takes the room for its sandboxes' disks when it starts.
    command.env("SOULBOX_STORAGE_SIZE", "1G");
    command.envs(variables.iter().copied());
    let mut child = command
        .stderr(log)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = lines.find_map(|line| {
        let line = line.ok()?;
        line.strip_prefix("SoulBox listens on ").map(str::to_owned)
    });
    let Some(url) = url else {
        let log = fs::read_to_string(soulbox.home().join("log")).unwrap_or_default();
        panic!("the server does not listen: {log}");
    };
    let credentials = fs::read(soulbox.home().join("data/credentials.json"));
    let credentials: Value =
        serde_json::from_slice(&credentials.expect("credentials")).expect("JSON");
    Running {
        child,
        _stdout: lines,
        address: url.trim_start_matches("http://").to_owned(),
        key: credentials["api_key"].as_str().expect("a key").to_owned(),
    }
}
