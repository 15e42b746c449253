//! A server of one's own, with sandboxes in which something listens.

use crate::http::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use soulbox_tests::Soulbox;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A server that runs until this is dropped.
pub(crate) struct Server {
    soulbox: Soulbox,
    child: Child,
    /// What it prints later must have somewhere to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    /// Where it listens.
    pub(crate) address: String,
    /// The domain below which it tells sandboxes' names, with the port.
    pub(crate) domain: String,
    key: String,
}

/// A sandbox in which something listens.
pub(crate) struct Sandbox {
    /// What its creator was told.
    pub(crate) told: Value,
    /// The port of `inside.py`.
    pub(crate) port: u16,
}

impl Sandbox {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.told["sandboxID"].as_str().expect("an id")
    }

    /// The headers that name one of its ports.
    pub(crate) fn headers(&self, port: u16) -> String {
        format!(
            "E2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: {port}\r\n",
            self.id()
        )
    }
}

impl Server {
    /// Starts one in which the template `host` stands in for `base`.
    pub(crate) fn start() -> Self {
        let soulbox = Soulbox::new();
        let log = File::create(soulbox.home().join("log")).expect("a file");
        let mut command = soulbox.command([
            "serve",
            "--listen=127.0.0.1:0",
            "--tls-listen=127.0.0.1:0",
            "--allow-host-template",
            "--end-on-stop",
        ]);
        // Many run at once; each takes the room for its sandboxes' disks when it starts.
        command.env("SOULBOX_STORAGE_SIZE", "1G");
        let started = command.stderr(log).stdout(Stdio::piped()).spawn();
        let mut child = started.expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut told = |before: &str| {
            let line = lines.find_map(|line| Some(line.ok()?.strip_prefix(before)?.to_owned()));
            line.unwrap_or_else(|| {
                let log = fs::read_to_string(soulbox.home().join("log")).unwrap_or_default();
                panic!("the server does not tell {before:?}: {log}")
            })
        };
        let address = told("SoulBox listens on http://");
        let domain = told("and on https://");
        let domain = domain.split(',').next().expect("a domain").to_owned();
        let credentials = soulbox.home().join("data/credentials.json");
        let credentials = fs::read(credentials).expect("credentials");
        let credentials: Value = serde_json::from_slice(&credentials).expect("JSON");
        let key = credentials["api_key"].as_str().expect("a key").to_owned();
        Self {
            soulbox,
            child,
            _stdout: lines,
            address,
            domain,
            key,
        }
    }

    /// The certificate of its authority, as `soulbox ca path` tells it.
    pub(crate) fn authority(&self) -> PathBuf {
        let told = self.soulbox.run(["ca", "path"]).expect_code(0);
        PathBuf::from(told.text().trim())
    }

    /// Runs the program beside the server.
    pub(crate) fn soulbox(&self) -> &Soulbox {
        &self.soulbox
    }

    /// A new connection to it.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("it listens")
    }

    /// Asks the programming interface.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let head = format!(
            "X-API-Key: {}\r\nContent-Length: {}\r\n",
            self.key,
            body.len()
        );
        let mut stream = self.connect().await;
        http::send(
            &mut stream,
            method,
            path,
            "localhost",
            &head,
            body.as_bytes(),
        )
        .await;
        http::answer(&mut stream).await
    }

    /// A sandbox in which `inside.py` listens.
    pub(crate) async fn sandbox(&self, more: Value) -> Sandbox {
        let mut request = json!({ "templateID": "base", "timeout": 120 });
        let fields = request.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        let made = self.api("POST", "/v2/sandboxes", &request).await;
        assert_eq!(made.status, 201, "{made:?}");
        let mut sandbox = Sandbox {
            told: made.json(),
            port: 0,
        };
        let script = include_str!("inside.py");
        let said = self
            .run_inside(&sandbox, &["python3", "-c", script], "\n")
            .await;
        let port = said
            .trim()
            .strip_prefix("port ")
            .and_then(|port| port.parse().ok());
        sandbox.port = port.unwrap_or_else(|| panic!("{said:?}"));
        sandbox
    }

    /// Starts a command that goes on, and gives what it printed up to `until`.
    pub(crate) async fn run_inside(
        &self,
        sandbox: &Sandbox,
        command: &[&str],
        until: &str,
    ) -> String {
        let message = json!({ "process": { "cmd": command[0], "args": command[1..] } }).to_string();
        let length = u32::try_from(message.len()).expect("a short message");
        let body = [&[0], &length.to_be_bytes()[..], message.as_bytes()].concat();
        let token = sandbox.told["envdAccessToken"].as_str().unwrap_or_default();
        let head = format!(
            "{}X-Access-Token: {token}\r\nContent-Type: application/connect+json\r\nContent-Length: {}\r\n",
            sandbox.headers(49983),
            body.len()
        );
        let mut stream = self.connect().await;
        let path = "/process.Process/Start";
        http::send(&mut stream, "POST", path, "localhost", &head, &body).await;
        let mut answer = http::head(&mut stream).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut said = String::new();
        while !said.contains(until) {
            let frame = http::chunk(&mut stream).await;
            assert!(!frame.is_empty(), "{command:?} ended: {said} {answer:?}");
            answer.body.extend_from_slice(&frame);
            said = output(&answer.body);
        }
        let _ = stream.shutdown().await;
        said
    }
}

/// What frames of a process's stream hold of its output.
fn output(mut frames: &[u8]) -> String {
    let mut said = String::new();
    while let [_, a, b, c, d, rest @ ..] = frames {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((message, next)) = rest.split_at_checked(length) else {
            break;
        };
        let message: Value = serde_json::from_slice(message).expect("JSON");
        for stream in ["stdout", "stderr"] {
            if let Some(data) = message["event"]["data"][stream].as_str() {
                said.push_str(&String::from_utf8_lossy(&base64(data)));
            }
        }
        frames = next;
    }
    said
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte| DIGITS.iter().position(|digit| *digit == byte);
    let values: Vec<usize> = text.bytes().filter_map(value).collect();
    let group = |values: &[usize]| {
        let bits =
            values.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - values.len()));
        let bytes = u32::try_from(bits).expect("24 bits").to_be_bytes();
        bytes[1..values.len()].to_vec()
    };
    values.chunks(4).flat_map(group).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
