//! Where an agent is reached: at its own socket, or through a server's door.

use http::HeaderMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
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

/// A connection in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection that is being opened.
pub type Connecting<'c> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send + 'c>>;

/// Opens connections to a server where it takes more than TCP, such as TLS.
pub trait Connect: Send + Sync {
    /// Opens one. Whoever waits bounds the time.
    fn connect(&self) -> Connecting<'_>;
}

/// A server that passes requests on to an agent.
#[derive(Clone)]
pub struct Door {
    /// The server's host and port.
    pub authority: String,
    /// What each request brings, so that the server knows which agent is meant, and that it may be asked.
    pub headers: HeaderMap,
    /// What opens connections; none: TCP to `authority`.
    pub connect: Option<Arc<dyn Connect>>,
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
            Self::Server(door) => match &door.connect {
                Some(connect) => connect.connect().await.map(Stream::Other),
                None => {
                    let stream = TcpStream::connect(&door.authority).await?;
                    stream.set_nodelay(true)?;
                    Ok(Stream::Tcp(stream))
                }
            },
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

/// A connection of any kind.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Other(Box<dyn Duplex>),
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Self::Unix($stream) => $call,
            Self::Tcp($stream) => $call,
            Self::Other($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, slices))
    }
}
