//! Plain requests, written byte by byte: what no client would send can be sent.

use crate::server::Server;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body as it came.
    pub body: String,
    /// The body, if it is JSON.
    pub json: Value,
}

impl Answer {
    /// The `message` of an error in any of E2B's shapes.
    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}

/// Asks with these headers, and with `Host`, `Connection` and the length of the body.
pub fn ask(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let head = head(method, target, headers, body);
    send(server, &[head.as_bytes(), body].concat())
}

/// Sends bytes and reads the one answer.
pub fn send(server: &Server, bytes: &[u8]) -> Answer {
    let mut stream = connect(server);
    // What refuses early may not want all of it.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    answer(&text).unwrap_or_else(|| panic!("no answer: {text:?}"))
}

/// As [`ask`], of a server that may be killed meanwhile: nothing if it does not answer.
pub fn try_ask(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = head(method, target, headers, body);
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    answer(&String::from_utf8_lossy(&text))
}

/// A connection to a server; reading from it ends after a while.
pub fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn head(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    head
}

/// Reads an answer. One that was cut has no status or not all of its body.
fn answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    if length.is_some_and(|length| {
        length
            .parse()
            .is_ok_and(|length: usize| body.len() < length)
    }) {
        return None;
    }
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        json: serde_json::from_str(body).unwrap_or_default(),
        body: body.to_owned(),
        head,
    })
}
