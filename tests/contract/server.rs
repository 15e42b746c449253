//! A server of one's own: with its own directories, on a free port.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::Soulbox;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

/// A server that runs until this is dropped.
pub(crate) struct Server {
    soulbox: Soulbox,
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    url: String,
    key: String,
}

impl Server {
    /// Starts one in which the template `host` stands in for `base`.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let soulbox = Soulbox::new();
        let log = File::create(soulbox.home().join("log")).expect("a file");
        let usual = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--allow-host-template",
            "--end-on-stop",
        ];
        let mut command = soulbox.command(usual.iter().chain(arguments));
        // Many run at once; each takes the room for its sandboxes' disks when it starts.
        command.env("SOULBOX_STORAGE_SIZE", "1G");
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
        let credentials =
            fs::read(soulbox.home().join("data/credentials.json")).expect("credentials");
        let credentials: serde_json::Value = serde_json::from_slice(&credentials).expect("JSON");
        let key = credentials["api_key"].as_str().expect("a key").to_owned();
        Self {
            soulbox,
            child,
            _stdout: lines,
            url,
            key,
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A key for it.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Its directory, which goes with it.
    pub(crate) fn home(&self) -> &Path {
        self.soulbox.home()
    }

    /// What it said on stderr, the last of it.
    pub(crate) fn log(&self) -> String {
        const MOST: usize = 20;
        let log = fs::read_to_string(self.soulbox.home().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(MOST)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
