//! A small HTTP client that shows answers as they are on the wire.

use crate::support::Agent;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// No answer in these tests takes nearly as long; a hang shows as a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// The head of an answer whose body is still to come.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Connection {
    pub(crate) fn open(agent: &Agent) -> Self {
        let stream = UnixStream::connect(agent.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a request whose body is known whole.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        self.send_to("agent", method, target, headers, body);
    }

    /// As [`Connection::send`], to a host.
    pub(crate) fn send_to(
        &mut self,
        host: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.write(&[head.as_bytes(), body].concat()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    pub(crate) fn head(&mut self) -> Head {
        let status = self.line();
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .unwrap_or_else(|| panic!("{status:?}"));
        let status = status.split(' ').next().unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Head { status, headers }
    }

    /// The next chunk of a chunked body; `None` at its proper end. A connection that ends
    /// otherwise is an error.
    pub(crate) fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let broken = || std::io::Error::other(format!("no chunk: {line:?}"));
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| broken())?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// How many bytes come until the connection ends, however that happens.
    pub(crate) fn read_to_end(&mut self) -> u64 {
        let mut bytes = 0;
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = self.stream.read(&mut buffer) {
            bytes += read as u64;
        }
        bytes
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let Head { status, headers } = self.head();
        let header = |wanted: &str| {
            let found = headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        let mut body = Vec::new();
        if header("transfer-encoding").as_deref() == Some("chunked") {
            while let Some(chunk) = self.chunk().unwrap() {
                body.extend(chunk);
            }
        } else if let Some(length) = header("content-length") {
            body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut body).unwrap();
        }
        Answer {
            status,
            headers,
            body,
        }
    }

    /// The next frame of a stream: its flags and its JSON. `None` at the end of the body.
    pub(crate) fn frame(&mut self, pending: &mut Vec<u8>) -> std::io::Result<Option<(u8, Value)>> {
        loop {
            if let Some((flags, json, rest)) = split_frame(pending) {
                *pending = rest;
                return Ok(Some((flags, json)));
            }
            match self.chunk()? {
                Some(chunk) => pending.extend(chunk),
                None => return Ok(None),
            }
        }
    }
}

fn split_frame(bytes: &[u8]) -> Option<(u8, Value, Vec<u8>)> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().unwrap()) as usize;
    let payload = bytes.get(5..5 + length)?;
    Some((
        bytes[0],
        serde_json::from_slice(payload).unwrap(),
        bytes[5 + length..].to_vec(),
    ))
}

/// All frames of a body.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Value)> {
    let mut frames = Vec::new();
    while let Some((flags, json, rest)) = split_frame(bytes) {
        frames.push((flags, json));
        bytes = &bytes[bytes.len() - rest.len()..];
    }
    assert!(bytes.is_empty(), "bytes after the last frame");
    frames
}

/// One frame with `message`.
pub(crate) fn frame(message: &Value) -> Vec<u8> {
    let json = message.to_string();
    [
        &[0][..],
        &u32::try_from(json.len()).unwrap().to_be_bytes(),
        json.as_bytes(),
    ]
    .concat()
}

impl Agent {
    /// One request on a connection of its own.
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut connection = Connection::open(self);
        connection.send(method, target, headers, body);
        connection.answer()
    }

    /// A method with one message each way: HTTP status and JSON.
    pub(crate) fn unary(&self, method: &str, message: &Value) -> (u16, Value) {
        self.unary_as(method, message, &[])
    }

    pub(crate) fn unary_as(
        &self,
        method: &str,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let kind = [("content-type", "application/json")];
        let headers = [&kind[..], headers].concat();
        let body = message.to_string();
        let answer = self.request("POST", &format!("/{method}"), &headers, body.as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        (answer.status, answer.json())
    }

    /// A method with a stream back, read to its end.
    pub(crate) fn stream(
        &self,
        method: &str,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Vec<Value> {
        let answer = self.raw_stream(method, &frame(message), headers);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/connect+json")
        );
        let frames = frames(&answer.body);
        let ends = frames.iter().filter(|(flags, _)| *flags == 2).count();
        assert_eq!(
            (ends, frames.last().map(|(flags, _)| *flags)),
            (1, Some(2)),
            "{frames:?}"
        );
        frames.into_iter().map(|(_, json)| json).collect()
    }

    pub(crate) fn raw_stream(&self, method: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let kind = [("content-type", "application/connect+json")];
        self.request(
            "POST",
            &format!("/{method}"),
            &[&kind[..], headers].concat(),
            body,
        )
    }

    /// Makes the user that runs the tests the default one.
    pub(crate) fn init(self) -> Self {
        let body = json!({"defaultUser": crate::support::me(), "defaultWorkdir": self.directory()});
        let answer = self.request("POST", "/init", &[], body.to_string().as_bytes());
        assert_eq!(answer.status, 204);
        self
    }
}
