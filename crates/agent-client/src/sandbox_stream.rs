//! A connection whose descriptor came out of a sandbox.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown, sockopt,
};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once, as far as the reader has room.
const AT_ONCE: usize = 64 * 1024;
/// Pieces that are written at once.
const PIECES: usize = 64;

/// A TCP connection to a port of a sandbox.
///
/// Somebody inside may have kept the open file that this is a descriptor of, and may change its flags and
/// options at any time. So no call here depends on `O_NONBLOCK`: each one says itself that it does not wait.
#[derive(Debug)]
pub struct SandboxStream {
    fd: AsyncFd<OwnedFd>,
}

impl SandboxStream {
    /// Takes a connected TCP socket.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        sockopt::set_tcp_nodelay(&fd, true)?;
        let fd = watch(fd)?;
        Ok(Self { fd })
    }
}

impl Drop for SandboxStream {
    fn drop(&mut self) {
        // The last close of a socket that was told to linger waits, whatever its other flags say.
        let _ = sockopt::set_socket_linger(self.fd.get_ref(), None);
    }
}

impl AsyncRead for SandboxStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(AT_ONCE);
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(context))?;
            let free = buffer.initialize_unfilled_to(room);
            match recv(ready.get_inner(), free, RecvFlags::DONTWAIT) {
                Ok((_, length)) => {
                    if 0 < length && length < room {
                        // That was all: more of it comes with a new event.
                        ready.clear_ready();
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(errno) => again(errno, &mut ready)?,
            }
        }
    }
}

impl SandboxStream {
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        send: impl Fn(&OwnedFd, SendFlags) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(context))?;
            match send(ready.get_inner(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(errno) => again(errno, &mut ready)?,
            }
        }
    }
}

impl AsyncWrite for SandboxStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, |fd, flags| send(fd, bytes, flags))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces = pieces.get(..PIECES).unwrap_or(pieces);
        self.poll_send(context, |fd, flags| {
            sendmsg(fd, pieces, &mut SendAncillaryBuffer::default(), flags)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(self.fd.get_ref(), Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }
}

/// Whether a call is to be made again, once Linux says that it can do something.
fn again(errno: Errno, ready: &mut AsyncFdReadyGuard<'_, OwnedFd>) -> io::Result<()> {
    match errno {
        Errno::AGAIN => ready.clear_ready(),
        Errno::INTR => {}
        errno => return Err(errno.into()),
    }
    Ok(())
}

fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // Deprecated because it trusts its caller never to exchange the descriptor inside: an `OwnedFd` keeps
    // its number, and nothing here takes it out.
    #[allow(deprecated)]
    AsyncFd::new(fd)
}
