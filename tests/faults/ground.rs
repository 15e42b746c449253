//! What a server has, and asking it.

use serde_json::Value;
use soulbox_tests::Soulbox;
use soulbox_tests::http::{Answer, ask};
use soulbox_tests::server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A create that asks for nothing special. What a test leaves by failing ends by itself.
pub(crate) const PLAIN: &[u8] = br#"{"templateID":"base","timeout":180}"#;

/// Starts a server in a home that may have had one before; its sandboxes write to disk.
pub(crate) fn serve(soulbox: &Arc<Soulbox>, variables: &[(&str, &str)]) -> Server {
    // Many run at once; each takes the room for its sandboxes' disks when it starts.
    let disk = [
        ("SOULBOX_STORAGE_BACKEND", "auto"),
        ("SOULBOX_STORAGE_SIZE", "1G"),
    ];
    Server::start_in(soulbox, &[&disk, variables].concat())
}

/// Asks the control plane.
pub(crate) fn api(server: &Server, method: &str, target: &str, body: &[u8]) -> Answer {
    ask(server, method, target, &[("X-API-KEY", server.key())], body)
}

/// Makes a sandbox: its id and its token.
pub(crate) fn create(server: &Server) -> (String, String) {
    let made = api(server, "POST", "/v2/sandboxes", PLAIN);
    assert_eq!(made.status, 201, "{made:?} {}", server.log());
    let text = |name: &str| made.json[name].as_str().expect("text").to_owned();
    (text("sandboxID"), text("envdAccessToken"))
}

/// The headers that name a sandbox's agent.
pub(crate) fn to_agent(sandbox: &(String, String)) -> [(&'static str, &str); 3] {
    [
        ("E2b-Sandbox-Id", &sandbox.0),
        ("E2b-Sandbox-Port", "49983"),
        ("X-Access-Token", &sandbox.1),
    ]
}

/// Whether a sandbox works: its agent reads a file of it.
pub(crate) fn works(server: &Server, sandbox: &(String, String)) -> bool {
    let headers = to_agent(sandbox);
    let answer = ask(server, "GET", "/files?path=/etc/passwd", &headers, b"");
    answer.status == 200
}

/// The token of a sandbox that is listed; none if it has ended meanwhile.
pub(crate) fn token(server: &Server, id: &str) -> Option<String> {
    let told = api(server, "GET", &format!("/sandboxes/{id}"), b"");
    Some(told.json["envdAccessToken"].as_str()?.to_owned())
}

/// Ends a sandbox.
pub(crate) fn kill(server: &Server, id: &str) -> Answer {
    api(server, "DELETE", &format!("/sandboxes/{id}"), b"")
}

/// The ids of all sandboxes, page by page.
pub(crate) fn list(server: &Server) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut next = String::new();
    loop {
        let page = api(
            server,
            "GET",
            &format!("/v2/sandboxes?nextToken={next}"),
            b"",
        );
        assert_eq!(page.status, 200, "{page:?}");
        let listed = page.json.as_array().expect("an array");
        let id = |sandbox: &Value| sandbox["sandboxID"].as_str().expect("an id").to_owned();
        ids.extend(listed.iter().map(id));
        let after = page
            .head
            .lines()
            .find_map(|line| line.strip_prefix("x-next-token: "));
        match after {
            Some(after) => next = after.to_owned(),
            None => return ids,
        }
    }
}

/// Waits until `done` holds; `what` tells what does not, if it takes too long.
#[track_caller]
pub(crate) fn soon<T: std::fmt::Display>(what: impl Fn() -> T, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "not within 30 s: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that a server never panicked.
#[track_caller]
pub(crate) fn never_panicked(server: &Server) {
    let log = server.whole_log();
    assert!(!log.contains("panicked"), "{log}");
}

/// A process of the machine, by its number and the moment it began, as numbers are used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    began: u64,
}

impl Process {
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // One that has ended and was not waited for is there no more.
        if fields.first() == Some(&"Z") {
            return None;
        }
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.began == self.began)
    }
}

/// The processes below these.
pub(crate) fn below(mut above: Vec<i32>) -> Vec<Process> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<Process> = pids.filter_map(Process::read).collect();
    let mut found: Vec<Process> = Vec::new();
    while let Some(parent) = above.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        for child in children {
            above.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// How many descriptors a server has open.
pub(crate) fn descriptors(server: &Server) -> usize {
    descriptors_of(server.pid().as_raw_nonzero().get())
}

/// How many descriptors a process has open.
pub(crate) fn descriptors_of(pid: i32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process that runs");
    open.count()
}

/// A server's memory, in kibibytes: what would be free if it ended.
pub(crate) fn memory(server: &Server) -> u64 {
    memory_of(server.pid().as_raw_nonzero().get())
}

/// A process's memory, in kibibytes, without files: how much of the program counts depends on who else runs it.
pub(crate) fn memory_of(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps_rollup");
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.expect("a number")
}

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// One below `most`.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}
