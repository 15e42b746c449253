//! A run as it goes on: events, and a WebSocket.

use crate::server::{events, live, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use soulbox_tests::http;
use soulbox_tests::server::Server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Sends a request that wants events; what follows the head, line by line.
fn stream(server: &Server, asked: &Value) -> BufReader<TcpStream> {
    let body = asked.to_string();
    let mut stream = http::connect(server);
    let head = format!(
        "POST /v1/execute HTTP/1.0\r\nHost: localhost\r\nX-API-KEY: {}\r\n\
         Accept: text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        server.key(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    BufReader::new(stream)
}

/// The next event: its name, its id, its data.
fn event(lines: &mut BufReader<TcpStream>) -> Option<(String, u64, Value)> {
    let (mut name, mut id) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("a line") == 0 {
            return None;
        }
        let line = line.trim_end();
        if let Some(told) = line.strip_prefix("event: ") {
            name = told.to_owned();
        } else if let Some(told) = line.strip_prefix("id: ") {
            id = told.parse().expect("a number");
        } else if let Some(told) = line.strip_prefix("data: ") {
            return Some((name, id, serde_json::from_str(told).expect("JSON")));
        }
    }
}

#[test]
fn events_come_as_they_happen_and_a_reader_that_goes_ends_the_run() {
    let server = Server::start();
    let code = "echo -n eins; sleep 0.2; printf '\\xe2\\x82'; sleep 0.2; printf '\\xac'; echo no >&2; exit 4";
    let mut lines = stream(&server, &json!({"language": "bash", "code": code}));
    let mut all = Vec::new();
    while let Some((name, id, data)) = event(&mut lines) {
        assert_eq!(id, all.len() as u64 + 1);
        all.push((name, data));
    }
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.first().copied(), Some("started"));
    assert_eq!(names.last().copied(), Some("exit"));
    let said = |channel: &str| -> String {
        let pieces = all.iter().filter(|(name, _)| name == channel);
        pieces
            .map(|(_, data)| data["text"].as_str().expect("text"))
            .collect()
    };
    assert_eq!(
        (said("stdout").as_str(), said("stderr").as_str()),
        ("eins€", "no\n")
    );
    let (_, exit) = all.last().expect("an exit");
    assert_eq!(
        (&exit["exit_code"], &exit["stdout"]),
        (&json!(4), &Value::Null)
    );

    // What is refused before the start is an ordinary answer.
    let mut refused = String::new();
    let wrong = json!({"language": "nolanguage", "code": ""});
    stream(&server, &wrong)
        .read_to_string(&mut refused)
        .expect("an answer");
    assert!(refused.starts_with("HTTP/1.0 400"), "{refused}");

    // A slow reader slows the program down, and one that goes away ends it.
    let mut lines = stream(
        &server,
        &json!({"language": "bash", "code": "echo up; sleep 1000"}),
    );
    let (_, _, started) = event(&mut lines).expect("a start");
    assert_eq!(event(&mut lines).expect("output").0, "stdout");
    let id = started["sandbox"].as_str().expect("an id").to_owned();
    drop(lines);
    until("the end of the run", || !live(&server).contains(&id));
    until("its cause", || {
        events(&server, &id)
            .iter()
            .any(|event| event["cause"] == "killed")
    });
}

/// A WebSocket, as far as this test needs one ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)).
struct Socket(TcpStream);

impl Socket {
    fn open(server: &Server) -> Self {
        let key = URL_SAFE_NO_PAD.encode(server.key());
        let head = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: soulbox.execute, soulbox.key.{key}\r\n\r\n"
        );
        let mut stream = http::connect(server);
        stream.write_all(head.as_bytes()).expect("it is sent");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        Self(stream)
    }

    fn say(&mut self, words: &Value) {
        self.send(1, words.to_string().as_bytes());
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len())
            .expect("a short message")
            .to_be_bytes();
        // A mask of zeros is one.
        let head = [0x80 | kind, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        self.0
            .write_all(&[&head, payload].concat())
            .expect("it is sent");
    }

    /// The next message in words; none at the end.
    fn hear(&mut self) -> Option<Value> {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).ok()?;
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.0.read_exact(&mut length).expect("a length");
                    usize::from(u16::from_be_bytes(length))
                }
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).expect("a payload");
            match head[0] & 0xf {
                1 => return Some(serde_json::from_slice(&payload).expect("JSON")),
                8 => return None,
                _ => {}
            }
        }
    }

    /// Hears until output has this.
    fn hears(&mut self, text: &str) {
        let mut all = String::new();
        while !all.contains(text) {
            let word = self
                .hear()
                .unwrap_or_else(|| panic!("it ended after {all:?}"));
            all.push_str(word["stdout"]["text"].as_str().unwrap_or_default());
        }
    }
}

#[test]
fn a_socket_has_live_input_and_output() {
    let server = Server::start();
    let mut socket = Socket::open(&server);
    let code = "for line in iter(input, 'end'): print('<' + line + '>', flush=True)\nimport sys; print(sys.stdin.read()); sys.exit(6)";
    socket.say(&json!({"start": {"language": "python", "code": code}}));
    let started = socket.hear().expect("a start");
    assert_eq!(started["started"]["language"], "python");
    socket.say(&json!({"stdin": "ein"}));
    socket.say(&json!({"stdin": "s\n"}));
    socket.hears("<eins>");
    socket.send(2, "zwei\nend\n".as_bytes());
    socket.hears("<zwei>");
    socket.say(&json!({"stdin": {"base64": "ZHJlaQ=="}}));
    socket.say(&json!({"stdin_close": true}));
    socket.hears("drei");
    let exit = socket.hear().expect("an exit");
    assert_eq!(exit["exit"]["exit_code"], 6, "{exit}");
    assert_eq!(socket.hear(), None);

    // A signal ends it.
    let mut socket = Socket::open(&server);
    let code = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done";
    socket.say(&json!({"start": {"language": "bash", "code": code}}));
    socket.hears("up");
    socket.say(&json!({"signal": "SIGTERM"}));
    let mut last = Value::Null;
    while let Some(word) = socket.hear() {
        last = word;
    }
    assert_eq!(last["exit"]["exit_code"], 9, "{last}");

    // So does going away.
    let mut socket = Socket::open(&server);
    socket.say(&json!({"start": {"language": "bash", "code": "echo up; sleep 1000"}}));
    socket.hears("up");
    drop(socket);
    until("the end of the run", || live(&server).is_empty());

    // What is wrong is told, and is the end.
    for wrong in [
        json!({"stdin": "early"}),
        json!({"start": {"language": "nolanguage", "code": ""}}),
        json!({"start": {}}),
        json!("nonsense"),
    ] {
        let mut socket = Socket::open(&server);
        socket.say(&wrong);
        let word = socket.hear().expect("an error");
        assert_eq!(word["error"]["code"], 400, "{wrong}: {word}");
        assert_eq!(socket.hear(), None);
    }
}
