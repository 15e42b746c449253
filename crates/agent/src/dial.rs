//! Connections to the sandbox's own ports, for the host, which cannot reach them otherwise.
//!
//! The connection itself is handed over ([`soulbox_wire::dial`]): what goes over it passes the agent by.

use crate::limits;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::io::IoSlice;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use soulbox_wire::dial::{self, Answer};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// Waits for the first bytes of a connection, leaves them there, and tells whether they ask for a
/// connection. They come in one piece; whatever else comes is HTTP, or fails as that.
pub(crate) async fn is_wanted(connection: &UnixStream) -> bool {
    let mut first = [0; dial::LONGEST];
    let peek = || Ok(recv(connection, &mut first, RecvFlags::PEEK)?.1);
    let length = connection.async_io(Interest::READABLE, peek).await;
    length.is_ok_and(|length| first.get(..length).is_some_and(dial::is_request))
}

/// Answers a request for a connection. How it ends is the other side's affair.
pub(crate) async fn serve(connection: &UnixStream) {
    // One byte more than the longest, so that a longer one is seen to be none.
    let mut request = [0; dial::LONGEST + 1];
    let take = || Ok(recv(connection, &mut request, RecvFlags::empty())?.1);
    let Ok(length) = connection.async_io(Interest::READABLE, take).await else {
        return;
    };
    let (answer, dialled) = match request.get(..length).and_then(dial::port) {
        Some(port) => connect(port).await,
        None => (Answer::Malformed, None),
    };
    let send = || send(connection, answer, dialled.as_ref());
    let _ = connection.async_io(Interest::WRITABLE, send).await;
}

/// Connects to what listens on the loopback: for most servers that is IPv4, whatever their own choice.
async fn connect(port: NonZeroU16) -> (Answer, Option<OwnedFd>) {
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut answer = Answer::Refused;
    for address in addresses {
        let address = SocketAddr::new(address, port.get());
        let connected = tokio::time::timeout(limits::DIAL, TcpStream::connect(address)).await;
        answer = match connected {
            Err(_) => Answer::Timeout,
            Ok(Ok(stream)) => match stream.into_std() {
                Ok(stream) => return (Answer::Connected, Some(stream.into())),
                Err(_) => Answer::Failed,
            },
            Ok(Err(error)) => failure(&error),
        };
        if answer != Answer::Refused {
            break;
        }
    }
    (answer, None)
}

/// Without IPv6 there is nothing that could listen on it.
fn failure(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::Unsupported => Answer::Refused,
        io::ErrorKind::TimedOut => Answer::Timeout,
        _ if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
            Answer::Refused
        }
        _ => Answer::Failed,
    }
}

fn send(connection: &UnixStream, answer: Answer, dialled: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = dialled.iter().map(|fd| fd.as_fd()).collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let byte = [answer as u8];
    sendmsg(
        connection,
        &[IoSlice::new(&byte)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}
