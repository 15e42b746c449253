//! Plain requests, written byte by byte: what no client would send can be sent.

use crate::server::Server;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head as it came.
    pub(crate) head: String,
    /// The body, if it is JSON.
    pub(crate) json: Value,
}

impl Answer {
    /// The `message` of an error in any of E2B's shapes.
    pub(crate) fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}

/// Asks with these headers, and with `Host`, `Connection` and the length of the body.
pub(crate) fn ask(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    send(server, &[head.as_bytes(), body].concat())
}

/// Sends bytes and reads the one answer.
pub(crate) fn send(server: &Server, bytes: &[u8]) -> Answer {
    let address = server.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).expect("a limit");
    // What refuses early may not want all of it.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
        head: head.to_ascii_lowercase(),
        json: serde_json::from_str(body).unwrap_or_default(),
    }
}
