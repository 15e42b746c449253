//! A WebSocket, as far as a test needs one ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)).

use crate::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

pub(crate) struct Socket {
    stream: TcpStream,
    shown: String,
    words: Vec<Value>,
}

impl Socket {
    /// Opens one; the status if that is refused.
    pub(crate) fn open(server: &Server, path: &str, key: &str) -> Result<Self, u16> {
        let key = URL_SAFE_NO_PAD.encode(key);
        let head = format!(
            "GET {path}\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\
             Sec-WebSocket-Protocol: soulbox.terminal, soulbox.key.{key}"
        );
        let mut stream = server.open(&head, "");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        match status.expect("a status") {
            101 => {
                assert!(
                    head.contains("sec-websocket-protocol: soulbox.terminal\r\n"),
                    "{head}"
                );
                Ok(Self {
                    stream,
                    shown: String::new(),
                    words: Vec::new(),
                })
            }
            status => Err(status),
        }
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len())
            .ok()
            .filter(|length| *length < 126);
        // A mask of zeros is one.
        let mut frame = vec![
            0x80 | kind,
            0x80 | length.expect("a short message"),
            0,
            0,
            0,
            0,
        ];
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).expect("it is sent");
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.send(2, text.as_bytes());
    }

    pub(crate) fn tell(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    fn take(&mut self) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).expect("a length");
                usize::from(u16::from_be_bytes(length))
            }
            127 => panic!("a frame of more than 64 KiB"),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a payload");
        match head[0] & 0xf {
            1 => self
                .words
                .push(serde_json::from_slice(&payload).expect("JSON")),
            2 => self.shown.push_str(&String::from_utf8_lossy(&payload)),
            8 => panic!("closed after {:?} {:?}", self.shown, self.words),
            _ => {}
        }
    }

    /// Waits until this was shown, and forgets what was before it.
    pub(crate) fn shows(&mut self, text: &str) {
        loop {
            if let Some((_, rest)) = self.shown.split_once(text) {
                self.shown = rest.to_owned();
                return;
            }
            self.take();
        }
    }

    /// Waits for a message in words.
    pub(crate) fn word(&mut self) -> Value {
        while self.words.is_empty() {
            self.take();
        }
        self.words.remove(0)
    }
}
