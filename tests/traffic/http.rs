//! Requests written byte by byte, and answers read as they come, over any stream.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// An answer, or as much of it as was read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head, in small letters.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether it ended as its head had said.
    pub(crate) whole: bool,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Writes a request.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    method: &str,
    target: &str,
    host: &str,
    headers: &str,
    body: &[u8],
) {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is taken");
    stream.write_all(body).await.expect("the body is taken");
    stream.flush().await.expect("it is sent");
}

/// Asks for `target` without a body, and reads the whole answer.
pub(crate) async fn get<S>(stream: &mut S, target: &str, host: &str, headers: &str) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(stream, "GET", target, host, headers, b"").await;
    answer(stream).await
}

/// Reads the head of an answer, and not a byte more.
pub(crate) async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        head,
        body: Vec::new(),
        whole: false,
    }
}

/// Reads an answer to its end.
pub(crate) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let mut answer = head(stream).await;
    if answer.header("transfer-encoding") == Some("chunked") {
        while let Some(piece) = try_chunk(stream).await {
            answer.whole = piece.is_empty();
            answer.body.extend_from_slice(&piece);
            if answer.whole {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        answer.body = vec![0; length.parse().expect("a length")];
        answer.whole = stream.read_exact(&mut answer.body).await.is_ok();
    } else if answer.status >= 200 && answer.status != 204 {
        answer.whole = stream.read_to_end(&mut answer.body).await.is_ok();
    }
    answer
}

/// Reads one piece of a body; empty at its end.
pub(crate) async fn chunk<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    try_chunk(stream).await.expect("a piece of the body")
}

/// Reads one piece of a body; empty at its end, nothing if it breaks off.
pub(crate) async fn try_chunk<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.push(stream.read_u8().await.ok()?);
    }
    let size = std::str::from_utf8(&size).ok()?.trim();
    let mut piece = vec![0; usize::from_str_radix(size, 16).ok()? + 2];
    stream.read_exact(&mut piece).await.ok()?;
    piece.truncate(piece.len() - 2);
    Some(piece)
}
