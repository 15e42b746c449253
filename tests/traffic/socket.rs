//! Changes of protocol: WebSockets.

use crate::http;
use crate::server::{Sandbox, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The headers of a handshake; the key is the one of the standard's example.
const HANDSHAKE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Opens a WebSocket over `stream` and reads the greeting.
pub(crate) async fn open<S>(stream: &mut S, host: &str, headers: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let headers = format!("{headers}{HANDSHAKE}");
    http::send(stream, "GET", "/ws", host, &headers, b"").await;
    let answer = http::head(stream).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pplmbitxaq9kygzzhzrbk+xoo=")
    );
    assert_eq!(
        receive(stream).await,
        b"hello",
        "what came with the head is not lost"
    );
}

/// Sends one short message, masked as clients must.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) {
    let length = u8::try_from(message.len()).expect("a short message");
    let mask = [1, 2, 3, 4];
    let masked = message
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    let mut frame = vec![0x82, 0x80 | length];
    frame.extend(mask);
    frame.extend(masked);
    stream.write_all(&frame).await.unwrap();
    stream.flush().await.unwrap();
}

async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut message = vec![0; usize::from(head[1])];
    stream.read_exact(&mut message).await.unwrap();
    message
}

/// Sends messages and expects them back.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    for number in 0..50_u8 {
        let message = vec![number; usize::from(number) + 1];
        send(stream, &message).await;
        assert_eq!(receive(stream).await, message);
    }
}

async fn kill(server: &Server, sandbox: &Sandbox) {
    let path = format!("/sandboxes/{}", sandbox.id());
    assert_eq!(server.api("DELETE", &path, &Value::Null).await.status, 204);
}

#[tokio::test]
async fn messages_go_both_ways_and_a_close_closes() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let mut stream = server.connect().await;
    open(&mut stream, "localhost", &headers).await;
    echo(&mut stream).await;
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 0]);
}

#[tokio::test]
async fn many_sockets_at_once_and_a_killed_sandbox_ends_them() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = sandbox.headers(sandbox.port);
    let mut sockets = Vec::new();
    for _ in 0..100 {
        let mut stream = server.connect().await;
        open(&mut stream, "localhost", &headers).await;
        sockets.push(stream);
    }
    for stream in &mut sockets {
        echo(stream).await;
    }
    kill(&server, &sandbox).await;
    for mut stream in sockets {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"", "it ends without another message");
    }
}

#[tokio::test]
async fn a_server_may_refuse_to_change() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let headers = format!("{}{HANDSHAKE}", sandbox.headers(sandbox.port));
    let mut stream = server.connect().await;
    let seen = http::get(&mut stream, "/seen", "localhost", &headers)
        .await
        .json();
    assert_eq!(seen["headers"]["upgrade"], json!(["websocket"]));
    // The connection goes on as it was.
    let count = http::get(
        &mut stream,
        "/count",
        "localhost",
        &sandbox.headers(sandbox.port),
    )
    .await;
    assert_eq!(count.status, 200);
}
