//! Asking a name server.

use super::question::{Code, Question, code_of};
use super::upstream::Upstreams;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// How long all servers together may take: as long as glibc's resolver waits before it asks
/// again (`RES_TIMEOUT`).
const PATIENCE: Duration = Duration::from_secs(5);
/// A datagram that had no answer for so long is sent once more.
const SEND_AGAIN: Duration = Duration::from_millis(1500);
/// The longest datagram that is read. We ask for 1,232 bytes at most; what is cut here is longer
/// than that still, and is told as cut.
const DATAGRAM: usize = 4096;

/// How the client asked, and the server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Datagram,
    Stream,
}

/// Asks the servers one after the other; the answer is as the server sent it. One that says that
/// it failed, or will not serve us, counts only when nobody else answers.
pub(super) async fn ask(
    upstreams: &Upstreams,
    question: &Question,
    transport: Transport,
) -> Option<Vec<u8>> {
    let servers = upstreams.servers();
    let end = Instant::now() + PATIENCE;
    let mut poor = None;
    for (turn, (place, server)) in servers.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let others = u32::try_from(servers.len() - turn).unwrap_or(1);
        let asked = match transport {
            Transport::Datagram => timeout(left / others, by_datagram(*server, question)).await,
            Transport::Stream => timeout(left / others, by_stream(*server, question)).await,
        };
        match asked {
            Ok(Ok(answer)) if is_poor(&answer) => poor = Some(answer),
            Ok(Ok(answer)) => {
                upstreams.answered(*place);
                return Some(answer);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server cannot be asked"),
            Err(_) => tracing::debug!(%server, "a name server does not answer"),
        }
    }
    poor
}

fn is_poor(answer: &[u8]) -> bool {
    let poor = [Code::ServerFailure, Code::NotImplemented, Code::Refused];
    code_of(answer).is_none_or(|code| poor.iter().any(|poor| *poor as u16 == code))
}

/// From a port that Linux picks at random, under a number picked at random, so that nobody can
/// answer in the server's place unseen. Other messages are passed over.
async fn by_datagram(server: SocketAddr, question: &Question) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let id = random_id()?;
    let message = question.for_server(id);
    let mut answer = vec![0; DATAGRAM];
    loop {
        socket.send(&message).await?;
        let again = Instant::now() + SEND_AGAIN;
        while let Ok(received) = timeout_at(again, socket.recv(&mut answer)).await {
            let length = received?;
            if question.is_answered_by(&answer[..length], id) {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    }
}

async fn by_stream(server: SocketAddr, question: &Question) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    write_message(&mut stream, &question.for_server(id)).await?;
    let answer = read_message(&mut stream, usize::from(u16::MAX)).await?;
    if question.is_answered_by(&answer, id) {
        Ok(answer)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is to another question",
        ))
    }
}

/// Writes a message with its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    // In one piece: one packet instead of two.
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
}

/// Reads a message of at most `longest` bytes.
pub(super) async fn read_message(stream: &mut TcpStream, longest: usize) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > longest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is too long",
        ));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(id))
}
