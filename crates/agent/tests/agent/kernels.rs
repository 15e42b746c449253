//! The virtual port 49999, with the kernels of this repository.

mod context;
mod crash;
mod interrupt;
mod output;
mod route;
mod speed;

use crate::http::{Answer, Connection};
use crate::support::Agent;
use serde_json::{Value, json};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A kernel that says on its socket whatever its cells want.
const RAW: &str = "
import json, os, socket, struct
s = socket.socket(fileno=3)
def frame(b): s.sendall(struct.pack('>I', len(b)) + b)
def say(**m): frame(json.dumps(m).encode())
say(type='ready')
while True:
    head = s.recv(4, socket.MSG_WAITALL)
    if not head: break
    m = json.loads(s.recv(*struct.unpack('>I', head), socket.MSG_WAITALL))
    id = m['id']
    if m['type'] == 'execute': exec(m['code'])
    say(type='end', id=id, status='ok')
";

/// An agent with kernels.
struct Ground {
    agent: Agent,
    _specs: TempDir,
}

impl Deref for Ground {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels")
}

fn add(specs: &Path, name: &str, spec: &Value) {
    let directory = specs.join("soulbox/kernels").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("kernel.json"), spec.to_string()).unwrap();
}

fn spec(argv: &[&str], env: &Value, more: &Value) -> Value {
    let mut ours = json!({ "protocol": "control" });
    for (name, value) in more.as_object().unwrap() {
        ours[name] = value.clone();
    }
    json!({ "argv": argv, "display_name": "x", "env": env, "metadata": { "soulbox": ours } })
}

/// The bash kernel, which needs nothing but Python.
fn bash(more: &Value) -> Value {
    let paths = ["python", "bash"].map(|name| repository().join(name).display().to_string());
    let argv = [
        "/usr/bin/python3",
        "-B",
        "-m",
        "soulbox_bash",
        "--control",
        "3",
    ];
    spec(&argv, &json!({ "PYTHONPATH": paths.join(":") }), more)
}

impl Ground {
    /// An agent with a kernel for bash, and a few more: `python` is the same one under another
    /// name, `waiting` keeps a process waiting, `broken` does not start, `absent` does not exist.
    fn new() -> Option<Self> {
        let specs = TempDir::new().unwrap();
        let none = json!({});
        add(specs.path(), "bash", &bash(&none));
        add(specs.path(), "python", &bash(&none));
        add(
            specs.path(),
            "waiting",
            &bash(&json!({ "spare": true, "eager": true })),
        );
        let broken = ["/bin/sh", "-c", "echo no library >&2; exit 1"];
        add(specs.path(), "broken", &spec(&broken, &none, &none));
        add(
            specs.path(),
            "absent",
            &spec(&["/nonexistent/kernel"], &none, &none),
        );
        let raw = ["/usr/bin/python3", "-c", RAW];
        add(specs.path(), "raw", &spec(&raw, &none, &none));
        add(
            specs.path(),
            "foreign",
            &json!({ "argv": ["x", "{connection_file}"] }),
        );
        // The test's own user may be any.
        open(specs.path());
        let agent = Agent::start_with_kernels(specs.path())?.init();
        Some(Self {
            agent,
            _specs: specs,
        })
    }

    fn ask(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut connection = Connection::open(self);
        connection.send_to("kernels", method, target, &[], body.as_bytes());
        connection.answer()
    }

    /// Runs code to its end: the lines.
    fn run(&self, body: &Value) -> Vec<Value> {
        let answer = self.ask("POST", "/execute", body);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        lines(&answer.body)
    }

    /// Begins to run code.
    fn begin(&self, body: &Value) -> Running {
        let mut connection = Connection::open(self);
        connection.send_to(
            "kernels",
            "POST",
            "/execute",
            &[],
            body.to_string().as_bytes(),
        );
        assert_eq!(connection.head().status, 200);
        Running {
            connection,
            lines: Vec::new(),
        }
    }

    fn make(&self, body: &Value) -> String {
        let answer = self.ask("POST", "/contexts", body);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn contexts(&self) -> Vec<Value> {
        let listed = self.ask("GET", "/contexts", &Value::Null).json();
        listed.as_array().unwrap().clone()
    }
}

fn open(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A run whose lines are still to come.
struct Running {
    connection: Connection,
    lines: Vec<Value>,
}

impl Running {
    /// Waits for a line of a kind.
    fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let found = self.lines.iter().position(|line| line["type"] == kind);
            if let Some(found) = found {
                return self.lines.remove(found);
            }
            let chunk = self.connection.chunk().unwrap();
            self.lines.extend(lines(&chunk.expect("the stream ended")));
        }
    }

    /// The rest of it.
    fn rest(mut self) -> Vec<Value> {
        while let Some(chunk) = self.connection.chunk().unwrap() {
            self.lines.extend(lines(&chunk));
        }
        self.lines
    }
}

/// Whole lines.
fn lines(bytes: &[u8]) -> Vec<Value> {
    assert!(
        bytes.ends_with(b"\n") && bytes.is_ascii(),
        "whole lines in ASCII"
    );
    let lines = bytes
        .strip_suffix(b"\n")
        .unwrap()
        .split(|byte| *byte == b'\n');
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect()
}

/// What the lines say on standard output.
fn stdout(lines: &[Value]) -> String {
    let texts = lines.iter().filter(|line| line["type"] == "stdout");
    texts.map(|line| line["text"].as_str().unwrap()).collect()
}
