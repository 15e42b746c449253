//! A server of one's own: with its own directories, on a free port.

use crate::{Ended, Soulbox};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

/// A server that runs until this is dropped. Its sandboxes write to memory, and it keeps one ready: the
/// quickest to start.
pub struct Server {
    soulbox: Soulbox,
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Server {
    /// Starts one in which the template `host` stands in for `base`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these variables.
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        let soulbox = Soulbox::new();
        let log = File::create(soulbox.home().join("log")).expect("a file");
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--allow-host-template"];
        let mut child = soulbox
            .command(arguments)
            .env("SOULBOX_STORAGE_BACKEND", "memory")
            .env("SOULBOX_POOL_PARKED", "1")
            .env("SOULBOX_SERVER_END_ON_STOP", "true")
            .envs(variables.iter().copied())
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
        Self {
            soulbox,
            child,
            _stdout: lines,
            url,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens for TLS.
    pub fn tls_url(&self) -> String {
        let text =
            fs::read(self.soulbox.home().join("data/credentials.json")).expect("credentials");
        let told: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        told["tls_url"]
            .as_str()
            .expect("it listens for TLS")
            .to_owned()
    }

    /// The program with the server's own directories, where it finds the server and its key.
    pub fn client(&self) -> &Soulbox {
        &self.soulbox
    }

    /// Runs the program as its client, without input.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        self.soulbox.run(arguments)
    }

    /// Makes a sandbox with these flags and gives its id.
    pub fn create(&self, flags: &[&str]) -> String {
        let made = self.run(["create"].iter().chain(flags)).expect_code(0);
        made.text().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
