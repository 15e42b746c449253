//! Terminals on the wire.

use crate::http::{Connection, frame};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A terminal session.
struct Session<'a> {
    agent: &'a Agent,
    connection: Connection,
    pending: Vec<u8>,
    pid: u64,
    shown: String,
}

impl<'a> Session<'a> {
    fn open(agent: &'a Agent, process: &Value, size: &Value) -> Self {
        let mut connection = Connection::open(agent);
        let request = json!({"process": process, "pty": size});
        let headers = [("content-type", "application/connect+json")];
        connection.send("POST", "/process.Process/Start", &headers, &frame(&request));
        assert_eq!(connection.head().status, 200);
        let mut pending = Vec::new();
        let (_, first) = connection.frame(&mut pending).unwrap().unwrap();
        let pid = first["event"]["start"]["pid"]
            .as_u64()
            .unwrap_or_else(|| panic!("{first}"));
        Self {
            agent,
            connection,
            pending,
            pid,
            shown: String::new(),
        }
    }

    fn type_in(&self, text: &str) {
        let input = json!({"pty": STANDARD.encode(text)});
        let message = json!({"process": {"pid": self.pid}, "input": input});
        assert_eq!(
            self.agent.unary("process.Process/SendInput", &message).0,
            200
        );
    }

    /// Reads on until `text` is shown, or the end event, which is returned.
    fn read_until(&mut self, text: &str) -> Option<Value> {
        while !self.shown.contains(text) {
            let message = self.connection.frame(&mut self.pending);
            let message = message.unwrap_or_else(|error| panic!("{error} after {}", self.shown));
            let (_, message) = message.unwrap();
            if let Some(end) = message["event"].get("end") {
                return Some(end.clone());
            }
            let data = &message["event"]["data"];
            let chunk = data["pty"].as_str().unwrap_or_else(|| panic!("{message}"));
            let chunk = STANDARD.decode(chunk).unwrap();
            assert!(chunk.len() <= 16 * 1024);
            self.shown.push_str(&String::from_utf8_lossy(&chunk));
        }
        None
    }
}

fn shell() -> Value {
    json!({"cmd": "/bin/bash", "args": ["--norc", "-i"], "envs": {"PS1": "$ ", "TERM": "dumb"}})
}

#[test]
fn a_shell_controls_its_terminal() {
    let agent = Agent::start().init();
    let size = json!({"size": {"cols": 90, "rows": 20}});
    let mut session = Session::open(&agent, &shell(), &size);
    session.type_in("stty size; tty; [ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo le''ads\n");
    assert_eq!(session.read_until("20 90\r\n"), None);
    assert_eq!(session.read_until("/dev/pts/"), None);
    assert_eq!(session.read_until("leads\r\n"), None);
    // Job control: ^C ends the job and not the shell.
    session.type_in("sh -c 'echo jo\"\"b; exec sleep 1000'\n");
    assert_eq!(session.read_until("job\r\n"), None);
    // What is typed before the shell is back would be thrown away.
    session.shown.clear();
    session.type_in("\x03");
    assert_eq!(session.read_until("$ "), None);
    session.type_in("echo $((6 * 7)); exit 5\n");
    assert_eq!(session.read_until("42\r\n"), None);
    let end = session.read_until("nothing shows this").unwrap();
    assert_eq!(end["exitCode"], 5);
}

#[test]
fn a_terminal_is_resized() {
    let agent = Agent::start().init();
    let mut session = Session::open(&agent, &shell(), &json!({}));
    session.type_in("stty size\n");
    session.read_until("24 80\r\n");
    let update = |size: Value| {
        let message = json!({"process": {"pid": session.pid}, "pty": size});
        agent.unary("process.Process/Update", &message)
    };
    assert_eq!(
        update(json!({"size": {"cols": 100, "rows": 30}})),
        (200, json!({}))
    );
    assert_eq!(update(json!({})), (200, json!({})), "no size, no change");
    assert_eq!(update(json!({"size": {"cols": 70_000, "rows": 30}})).0, 400);
    session.type_in("stty size\n");
    session.read_until("30 100\r\n");
}

#[test]
fn a_terminal_refuses_what_only_pipes_can() {
    let agent = Agent::start().init();
    let session = Session::open(&agent, &shell(), &json!({}));
    let process = json!({"pid": session.pid});
    let message = json!({"process": process, "input": {"stdin": "aGk="}});
    let (status, error) = agent.unary("process.Process/SendInput", &message);
    assert_eq!((status, &error["code"]), (500, &json!("internal")));
    let (status, error) = agent.unary("process.Process/CloseStdin", &json!({"process": process}));
    assert_eq!((status, &error["code"]), (500, &json!("unknown")));
}

#[test]
fn a_killed_shell_ends_its_stream() {
    let agent = Agent::start().init();
    let mut session = Session::open(&agent, &shell(), &json!({}));
    // Such a job outlives its shell and its terminal, so it is a short one.
    session.type_in("sleep 5 & echo started\n");
    session.read_until("started\r\n");
    let message = json!({"process": {"pid": session.pid}, "signal": "SIGNAL_SIGKILL"});
    assert_eq!(agent.unary("process.Process/SendSignal", &message).0, 200);
    let end = session.read_until("nothing shows this").unwrap();
    assert_eq!(end["status"], "signal: killed");
}

#[test]
fn a_pipe_is_no_terminal() {
    let agent = Agent::start().init();
    let start = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    let mut connection = Connection::open(&agent);
    let headers = [("content-type", "application/connect+json")];
    connection.send("POST", "/process.Process/Start", &headers, &frame(&start));
    connection.head();
    let (_, first) = connection.frame(&mut Vec::new()).unwrap().unwrap();
    let process = json!({"pid": first["event"]["start"]["pid"]});
    let message = json!({"process": process, "pty": {"size": {"cols": 1, "rows": 1}}});
    let (status, error) = agent.unary("process.Process/Update", &message);
    assert_eq!((status, &error["code"]), (500, &json!("internal")));
}
