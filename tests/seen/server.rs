//! A server of the test's own, and a client that sends what it is told and nothing else.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use soulbox_tests::Soulbox;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

/// The key of every server here.
pub(crate) const KEY: &str = "e2b_5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";
/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    home: Soulbox,
    child: Child,
    pub(crate) address: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Server {
    /// Starts one with these variables; it takes template `host` for `base`.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let home = Soulbox::new();
        let log = File::create(home.home().join("log")).expect("a file for the log");
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--allow-host-template",
            "--end-on-stop",
        ];
        let mut command = home.command(arguments);
        command.env("SOULBOX_API_KEY", KEY).stderr(log);
        command.env("SOULBOX_POOL_PARKED", "1");
        // Many run at once; each takes the room for its sandboxes' disks when it starts.
        command.env("SOULBOX_STORAGE_SIZE", "1G");
        command.envs(variables.iter().copied());
        let mut child = command.spawn().expect("the server starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let address = lines.find_map(|line| {
            let line = line.expect("a line");
            line.split_once("http://")
                .map(|(_, address)| address.to_owned())
        });
        // What it prints later has to go somewhere.
        std::thread::spawn(move || lines.count());
        let Some(address) = address else {
            let log = std::fs::read_to_string(home.home().join("log"));
            panic!("the server does not listen: {log:?}");
        };
        Self {
            home,
            child,
            address,
        }
    }

    /// Sends a request whose head is `head`, without `Host` and `Connection`.
    pub(crate) fn open(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        let (length, address) = (body.len(), &self.address);
        let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
        let mut text = format!("{first} HTTP/1.1\r\nHost: {address}\r\n");
        for line in rest.lines() {
            text.push_str(&format!("{}\r\n", line.trim()));
        }
        if !rest.contains("Upgrade") {
            text.push_str("Connection: close\r\n");
        }
        text.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
        stream.write_all(text.as_bytes()).expect("it is sent");
        stream
    }

    pub(crate) fn ask(&self, head: &str, body: &str) -> Answer {
        let mut all = Vec::new();
        let mut stream = self.open(head, body);
        stream.read_to_end(&mut all).expect("an answer");
        let all = String::from_utf8_lossy(&all).into_owned();
        let (head, body) = all.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Asks with the key.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}\nX-API-Key: {KEY}"), "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let head = format!("POST {path}\nX-API-Key: {KEY}\nContent-Type: application/json");
        self.ask(&head, body)
    }

    pub(crate) fn create(&self) -> Value {
        let body = r#"{"templateID":"base","timeout":120,"allow_internet_access":false}"#;
        self.post("/v2/sandboxes", body).expect(201).json()
    }

    /// Asks again until what is answered is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let told = self.get(path).expect(200).json();
            if wanted(&told) {
                return told;
            }
            assert!(begin.elapsed() < LIMIT, "{path} stays {told}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops it and gives its log.
    pub(crate) fn stop(mut self) -> String {
        self.end();
        std::fs::read_to_string(self.home.home().join("log")).expect("its log")
    }

    /// Ends it with its sandboxes.
    fn end(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}
