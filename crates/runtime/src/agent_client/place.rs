//! Where an agent is reached: at its own socket, or through a server's door.

use http::HeaderMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Where an agent is reached.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At its own socket, on the same machine.
    Socket(PathBuf),
    /// Through a server.
    Server(Door),
}

/// A server that passes requests on to an agent.
#[derive(Clone)]
pub struct Door {
    /// The server's host and port.
    pub authority: String,
    /// What each request brings, so that the server knows which agent is meant, and that it may be asked.
    pub headers: HeaderMap,
}

/// The headers hold a token.
impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// Opens a connection.
    pub(super) async fn open(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Self::Server(door) => {
                let stream = TcpStream::connect(&door.authority).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// In words, for messages.
    pub(super) fn shown(&self) -> PathBuf {
        match self {
            Self::Socket(path) => path.clone(),
            Self::Server(door) => PathBuf::from(&door.authority),
        }
    }
}

/// A connection of either kind.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Unix($stream) => $call,
            Self::Tcp($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }
}
