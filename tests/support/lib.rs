//! What the black-box tests share: starting the real program and reading what it says.
#![allow(clippy::expect_used, clippy::panic)] // a test that cannot be set up has failed

pub mod http;
pub mod kernel;
pub mod registry;
pub mod server;
pub mod templates;

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The program under test: `SOULBOX_BIN`, else what `cargo build --release` made.
pub fn program() -> PathBuf {
    let named = std::env::var_os("SOULBOX_BIN").map(PathBuf::from);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/soulbox");
    let program = named.unwrap_or(built);
    assert!(
        program.is_file(),
        "{} is not built: cargo build --release",
        program.display()
    );
    program
}

/// The program with directories of its own, so that tests do not meet.
pub struct Soulbox {
    home: TempDir,
}

impl Default for Soulbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Soulbox {
    /// A fresh home.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        Self { home }
    }

    /// The directory that goes when the test ends.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file below the home and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The program with these arguments, an environment of its own, and the home as its working
    /// directory.
    #[allow(clippy::disallowed_methods)] // a black-box test starts the program
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.home())
            .env("SOULBOX_DATA_DIR", self.home().join("data"))
            .env("SOULBOX_RUN_DIR", self.home().join("run"))
            .current_dir(self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end without input.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        end(self.command(arguments).spawn().expect("the program starts"))
    }

    /// Runs the program to its end with `input` on its stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that does not read all of it is no fault of the test.
                let _ = stdin.write_all(input);
            });
            end(child)
        })
    }
}

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed on stdout.
    pub stdout: Vec<u8>,
    /// What it printed on stderr.
    pub stderr: String,
}

/// Waits for the end of a program.
pub fn end(child: Child) -> Ended {
    let output = child.wait_with_output().expect("the program ends");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ended {
    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("stdout is UTF-8")
    }

    /// stdout as one JSON object on one line.
    pub fn json(&self) -> Value {
        let text = self.text();
        assert_eq!(text.lines().count(), 1, "one line: {text} {}", self.stderr);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Asserts the exit code; shows everything when it differs.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!(
            self.code, code,
            "stdout: {stdout:.2000}\nstderr: {:.2000}",
            self.stderr
        );
        self
    }

    /// Asserts that stderr holds each of the texts.
    #[track_caller]
    pub fn expect_stderr(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "no {text:?} in {:.2000}",
                self.stderr
            );
        }
        self
    }
}

/// Reads from `child`'s stdout until `text` was there.
///
/// # Panics
/// When the program ends before.
pub fn wait_for(child: &mut Child, text: &str) {
    let stdout = child.stdout.as_mut().expect("a pipe");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        let length = stdout.read(&mut byte).expect("the pipe can be read");
        assert!(
            length > 0,
            "ended before {text:?}: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&byte);
    }
}

/// The processes of the machine whose command line holds `text`.
pub fn processes_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| line.contains(text) && !line.contains("soulbox run"))
        .collect()
}
