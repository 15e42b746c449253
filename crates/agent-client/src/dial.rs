//! Connections to the sandbox's own ports.
//!
//! The agent makes them inside and hands over the descriptor ([`soulbox_wire::dial`]). An agent that was
//! taken over hands over whatever it likes, so what comes is looked at before it is used, and is used only
//! in ways that do not trust it ([`SandboxStream`]).

use super::AgentClient;
use super::place::Stream;
use super::sandbox_stream::SandboxStream;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    SocketType, getpeername, ipproto, recvmsg, send, sockopt,
};
use soulbox_wire::dial::{self, Answer};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A connection to a sandbox's port that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing listens on that port.
    #[error("nothing listens on port {0} of the sandbox")]
    Refused(NonZeroU16),
    /// What listens there did not accept in time, or the agent did not answer in time.
    #[error("port {0} of the sandbox did not accept a connection in time")]
    Timeout(NonZeroU16),
    /// The agent could not try.
    #[error("the agent cannot make connections: it lacks descriptors or memory")]
    Exhausted,
    /// The agent cannot be reached, or hung up.
    #[error("cannot ask the agent for a connection")]
    Agent(#[source] io::Error),
    /// What the agent sent is none that an agent of ours sends.
    #[error("agent's answer makes no sense: {0}")]
    Protocol(&'static str),
    /// The connection cannot be used.
    #[error("cannot use the sandbox's connection")]
    Linux(#[source] io::Error),
}

impl AgentClient {
    /// Connects to what listens on `port` of the sandbox's loopback, on `127.0.0.1` or else on `::1`.
    ///
    /// # Errors
    /// [`DialError`]. It takes [`AgentLimits::connect`](super::AgentLimits::connect) and
    /// [`AgentLimits::header`](super::AgentLimits::header) at the longest.
    pub async fn dial(&self, port: NonZeroU16) -> Result<SandboxStream, DialError> {
        let late = |_| DialError::Timeout(port);
        let opened = tokio::time::timeout(self.limits.connect, self.pool.open()).await;
        let Stream::Unix(agent) = opened.map_err(late)?.map_err(DialError::Agent)? else {
            // Descriptors do not come through a server; its own way to ports is its door.
            return Err(DialError::Agent(io::ErrorKind::Unsupported.into()));
        };
        let asked = tokio::time::timeout(self.limits.header, ask(&agent, port)).await;
        let (answer, descriptors) = asked.map_err(late)?.map_err(DialError::Agent)?;
        match (answer, descriptors) {
            (Some(Answer::Connected), Descriptors::One(fd)) => {
                check(&fd, port)?;
                SandboxStream::new(fd).map_err(DialError::Linux)
            }
            (Some(Answer::Refused), Descriptors::None) => Err(DialError::Refused(port)),
            (Some(Answer::Timeout), Descriptors::None) => Err(DialError::Timeout(port)),
            (Some(Answer::Failed), Descriptors::None) => Err(DialError::Exhausted),
            (Some(Answer::Malformed) | None, _) => Err(DialError::Protocol("it is no answer")),
            (_, _) => Err(DialError::Protocol(
                "it has the wrong number of descriptors",
            )),
        }
    }
}

/// The descriptors that came.
enum Descriptors {
    None,
    One(OwnedFd),
    Many,
}

async fn ask(agent: &UnixStream, port: NonZeroU16) -> io::Result<(Option<Answer>, Descriptors)> {
    let request = dial::request(port);
    // It fits an empty socket's buffer, so that it is sent whole or not at all.
    let ask = || {
        Ok(send(
            agent,
            &request,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )?)
    };
    agent.async_io(Interest::WRITABLE, ask).await?;
    agent.async_io(Interest::READABLE, || receive(agent)).await
}

fn receive(agent: &UnixStream) -> io::Result<(Option<Answer>, Descriptors)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 2];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(agent, &mut parts, &mut control, flags)?;
    let came = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut came: Vec<OwnedFd> = came.flatten().collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let descriptors = match (came.pop(), came.is_empty()) {
        _ if received.flags.contains(ReturnFlags::CTRUNC) => Descriptors::Many,
        (None, _) => Descriptors::None,
        (Some(fd), true) => Descriptors::One(fd),
        (Some(_), false) => Descriptors::Many,
    };
    let answer = match (received.bytes, bytes) {
        (1, [answer, _]) => Answer::of(answer),
        _ => None,
    };
    Ok((answer, descriptors))
}

/// Looks at a descriptor: it must be a TCP connection to that port of the loopback. TCP's own protocol
/// number is asked for because other protocols have stream sockets of the same families.
fn check(fd: &OwnedFd, port: NonZeroU16) -> Result<(), DialError> {
    let wrong = |what| move |_: Errno| DialError::Protocol(what);
    let kind = sockopt::socket_type(fd).map_err(wrong("what it sent is no socket"))?;
    let family = sockopt::socket_domain(fd).map_err(wrong("what it sent is no socket"))?;
    let protocol = sockopt::socket_protocol(fd).map_err(wrong("what it sent is no socket"))?;
    let families = [AddressFamily::INET, AddressFamily::INET6];
    if kind != SocketType::STREAM || !families.contains(&family) || protocol != Some(ipproto::TCP) {
        return Err(DialError::Protocol("what it sent is no TCP socket"));
    }
    let peer = getpeername(fd).map_err(wrong("what it sent is not connected"))?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    match peer {
        Some(peer) if peer.ip().is_loopback() && peer.port() == port.get() => Ok(()),
        _ => Err(DialError::Protocol(
            "what it sent is connected to something else",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AgentLimits;
    use rustix::fd::AsFd as _;
    use rustix::io::IoSlice;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// An agent that answers one request with these bytes and descriptors, and the client's port.
    async fn dial_hostile(
        port: u16,
        bytes: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Result<SandboxStream, DialError> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let limits = AgentLimits {
            connect: Duration::from_secs(5),
            header: Duration::from_millis(500),
            ..AgentLimits::default()
        };
        let client = AgentClient::with_limits(socket, limits);
        let port = NonZeroU16::new(port).unwrap();
        let agent = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            let length = connection.read(&mut request).await.unwrap();
            assert_eq!(dial::port(&request[..length]), Some(port));
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
            if !borrowed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            if !bytes.is_empty() {
                let parts = [IoSlice::new(bytes)];
                sendmsg(&connection, &parts, &mut control, SendFlags::NOSIGNAL).unwrap();
            }
            drop(descriptors);
            connection
        };
        let (dialled, _connection) = tokio::join!(client.dial(port), agent);
        dialled
    }

    fn refusal(dialled: Result<SandboxStream, DialError>) -> &'static str {
        match dialled {
            Err(DialError::Protocol(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn whatever_is_not_that_connection_is_refused() {
        let (listener, port) = listener();
        let connected = || OwnedFd::from(TcpStream::connect(("127.0.0.1", port)).unwrap());
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        datagram.connect(("127.0.0.1", port)).unwrap();
        let raw = |family| rustix::net::socket(family, SocketType::STREAM, None).unwrap();
        for (what, fd) in [
            ("no socket", file),
            ("no socket", pipe),
            ("no TCP socket", unix.into()),
            ("no TCP socket", datagram.into()),
            ("not connected", listener.try_clone().unwrap().into()),
            ("not connected", raw(AddressFamily::INET)),
        ] {
            let refused = refusal(dial_hostile(port, b"+", vec![fd]).await);
            assert!(refused.contains(what), "{refused}, not {what}");
        }
        let elsewhere = refusal(dial_hostile(port ^ 1, b"+", vec![connected()]).await);
        assert!(elsewhere.contains("something else"), "{elsewhere}");
        for (bytes, descriptors) in [
            (&b"+"[..], vec![]),
            (b"+", vec![connected(), connected()]),
            (
                b"+",
                vec![connected(), connected(), connected(), connected()],
            ),
            (b"-", vec![connected()]),
            (b"++", vec![connected()]),
            (b"\0", vec![]),
            (b"?", vec![]),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", vec![]),
        ] {
            refusal(dial_hostile(port, bytes, descriptors).await);
        }
        let silent = dial_hostile(port, b"", vec![]).await;
        assert!(matches!(silent, Err(DialError::Timeout(_))), "{silent:?}");
        let refused = dial_hostile(port, b"-", vec![]).await;
        assert!(matches!(refused, Err(DialError::Refused(_))), "{refused:?}");
        let exhausted = dial_hostile(port, b"!", vec![]).await;
        assert!(
            matches!(exhausted, Err(DialError::Exhausted)),
            "{exhausted:?}"
        );
    }

    #[tokio::test]
    async fn a_connection_that_was_made_to_block_does_not_block() {
        let (listener, port) = listener();
        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // Whoever made it has another descriptor of the same open file.
        let kept = connection.try_clone().unwrap();
        let mut stream = dial_hostile(port, b"+", vec![connection.into()])
            .await
            .unwrap();
        kept.set_nonblocking(false).unwrap();
        let mut byte = [0];
        let wait = Duration::from_millis(50);
        let read = tokio::time::timeout(wait, stream.read(&mut byte)).await;
        assert!(read.is_err(), "nothing was sent: {read:?}");
        let flood = vec![0; 64 << 20];
        let wrote = tokio::time::timeout(wait, stream.write_all(&flood)).await;
        assert!(wrote.is_err(), "nobody reads: {wrote:?}");
        io::Write::write_all(&mut server, b"x").unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x");
    }

    #[tokio::test]
    async fn bytes_go_both_ways_to_their_end() {
        let (listener, port) = listener();
        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut server = tokio::net::TcpStream::from_std(server).unwrap();
        let mut stream = dial_hostile(port, b"+", vec![connection.into()])
            .await
            .unwrap();
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(3_000_000).collect();
        let there = async {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            back
        };
        let echo = async {
            let (mut reader, mut writer) = server.split();
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let (back, ()) = tokio::join!(there, echo);
        assert!(back == sent);
    }
}
