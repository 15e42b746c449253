//! A server of one's own: with its own directories, on a free port.

use crate::{Ended, Soulbox};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// What every server is started with.
const ARGUMENTS: [&str; 2] = ["serve", "--allow-host-template"];

/// And in which environment, beside its own directories. A test may set these otherwise.
const VARIABLES: [(&str, &str); 4] = [
    ("SOULBOX_SERVER_LISTEN", "127.0.0.1:0"),
    ("SOULBOX_STORAGE_BACKEND", "memory"),
    ("SOULBOX_POOL_PARKED", "1"),
    ("SOULBOX_SERVER_END_ON_STOP", "true"),
];

/// A server that runs until this is dropped. Its sandboxes write to memory, and it keeps one ready: the
/// quickest to start.
pub struct Server {
    soulbox: Arc<Soulbox>,
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    url: String,
    key: String,
}

impl Server {
    /// Starts one in which the template `host` stands in for `base`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these variables.
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_in(&Arc::new(Soulbox::new()), variables)
    }

    /// Starts one with these variables in a home that may have had one before.
    pub fn start_in(soulbox: &Arc<Soulbox>, variables: &[(&str, &str)]) -> Self {
        let mut command = soulbox.command(ARGUMENTS);
        command.envs(VARIABLES).envs(variables.iter().copied());
        Self::spawn(Arc::clone(soulbox), command)
    }

    /// As [`Server::start_in`], in the mount namespace of the process `pid`.
    #[allow(clippy::disallowed_methods)] // a black-box test starts programs
    pub fn start_among(pid: u32, soulbox: &Arc<Soulbox>, variables: &[(&str, &str)]) -> Self {
        let plain = soulbox.command(ARGUMENTS);
        let environment = plain.get_envs();
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{pid}/ns/mnt"))
            .arg(plain.get_program())
            .args(plain.get_args())
            .env_clear()
            .envs(environment.filter_map(|(name, value)| Some((name, value?))))
            .envs(VARIABLES)
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        Self::spawn(Arc::clone(soulbox), command)
    }

    fn spawn(soulbox: Arc<Soulbox>, mut command: Command) -> Self {
        let log = soulbox.home().join("log");
        let appended = File::options().create(true).append(true).open(&log);
        let mut child = command
            .stderr(appended.expect("a file"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = lines.find_map(|line| {
            let line = line.ok()?;
            line.strip_prefix("SoulBox listens on ").map(str::to_owned)
        });
        let Some(url) = url else {
            let _ = child.wait();
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("the server does not listen: {log}");
        };
        // As it sees its data directory, which may be mounted for it alone.
        let seen = format!("/proc/{}/root{}", child.id(), soulbox.home().display());
        let credentials = fs::read(Path::new(&seen).join("data/credentials.json"));
        let credentials: Value =
            serde_json::from_slice(&credentials.expect("credentials")).expect("JSON");
        let key = credentials["api_key"].as_str().unwrap_or_default();
        Self {
            key: key.to_owned(),
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
        let told: Value = serde_json::from_slice(&text).expect("JSON");
        told["tls_url"]
            .as_str()
            .expect("it listens for TLS")
            .to_owned()
    }

    /// Its address and port.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A key for it, if it made one.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its directory, which goes with the last server in it.
    pub fn home(&self) -> &Path {
        self.soulbox.home()
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// All that it said on stderr, and those before it in the same home.
    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.soulbox.home().join("log")).unwrap_or_default()
    }

    /// What it said on stderr, the last of it.
    pub fn log(&self) -> String {
        const MOST: usize = 20;
        let log = self.whole_log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(MOST)..].join("\n")
    }

    /// Kills it as Linux does when memory is short: it gets to do nothing more.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it so, and starts another one in its place and at its address.
    pub fn crash(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let soulbox = Arc::clone(&self.soulbox);
        let address = self.address().to_owned();
        *self = Self::start_in(&soulbox, &[("SOULBOX_SERVER_LISTEN", &address)]);
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        let _ = kill_process(self.pid(), Signal::TERM);
        self.child.wait().expect("it ends")
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
        // One that was waited for is nobody's process any more.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid(), Signal::TERM);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            #[allow(clippy::print_stderr)] // what whoever reads of the failure looks for
            {
                eprintln!("the server's log:\n{}", self.log());
            }
        }
    }
}
