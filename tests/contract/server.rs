//! A server of one's own: with its own directories, on a free port.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::{Soulbox, templates};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

/// The name below which its sandboxes have host names, if it speaks TLS; the server's own default.
pub(crate) const DOMAIN: &str = "sandbox.localhost";

/// Makes it listen for TLS too, with this value.
const TLS_LISTEN: (&str, &str) = ("SOULBOX_SERVER_TLS_LISTEN", "127.0.0.1:0");

/// A server that runs until this is dropped.
pub(crate) struct Server {
    soulbox: Soulbox,
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    url: String,
    /// The domain below which sandboxes have names, with the port, if it speaks TLS.
    domain: Option<String>,
    key: String,
}

impl Server {
    /// Starts one in which the template `host` stands in for `base`.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that has a real `base`, of which templates can be built.
    pub(crate) fn start_base() -> Self {
        Self::start_of(&[templates::BASE], false)
    }

    /// Starts one that has the template of the code interpreter.
    pub(crate) fn start_interpreter(encrypted: bool) -> Self {
        let templates = [templates::BASE, templates::INTERPRETER];
        Self::start_of(&templates, encrypted)
    }

    /// Starts one that has the template with all languages, too.
    pub(crate) fn start_full() -> Self {
        let templates = [templates::BASE, templates::INTERPRETER, templates::FULL];
        Self::start_of(&templates, false)
    }

    fn start_of(templates: &[&str], encrypted: bool) -> Self {
        let soulbox = Soulbox::new();
        templates::share(&soulbox, templates);
        let variables: &[(&str, &Path)] = match encrypted {
            true => &[(TLS_LISTEN.0, TLS_LISTEN.1.as_ref())],
            false => &[],
        };
        Self::start_in(soulbox, variables)
    }

    /// Starts one that speaks TLS, too, with certificates of its own authority.
    pub(crate) fn start_encrypted() -> Self {
        Self::start_with(&[(TLS_LISTEN.0, TLS_LISTEN.1.as_ref())])
    }

    /// Starts one that speaks TLS, too, with this certificate.
    pub(crate) fn start_certified(cert: &Path, key: &Path) -> Self {
        Self::start_with(&[
            (TLS_LISTEN.0, TLS_LISTEN.1.as_ref()),
            ("SOULBOX_SERVER_TLS_CERT", cert),
            ("SOULBOX_SERVER_TLS_KEY", key),
        ])
    }

    fn start_with(variables: &[(&str, &Path)]) -> Self {
        Self::start_in(Soulbox::new(), variables)
    }

    fn start_in(soulbox: Soulbox, variables: &[(&str, &Path)]) -> Self {
        let log = File::create(soulbox.home().join("log")).expect("a file");
        let mut command = soulbox.command([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--allow-host-template",
            "--end-on-stop",
        ]);
        command
            // Many run at once; each takes the room for its sandboxes' disks when it starts.
            .env("SOULBOX_STORAGE_SIZE", "1G")
            .env("SOULBOX_SERVER_SAMPLE_INTERVAL", "1s")
            .envs(variables.iter().copied());
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
        let domain = credentials["tls_url"].as_str();
        let domain = domain.and_then(|url| url.strip_prefix("https://").map(str::to_owned));
        Self {
            soulbox,
            child,
            _stdout: lines,
            url,
            domain,
            key,
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The domain below which sandboxes have names, with the port.
    pub(crate) fn domain(&self) -> &str {
        self.domain.as_deref().expect("it speaks TLS")
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
