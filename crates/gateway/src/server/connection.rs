//! One connection of a client, and its time limits.

use crate::access;
use crate::client::Client;
use crate::door::Gateway;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

/// Bytes of a request's head, and of what is read at once. More than a head may have (`head`), so that most
/// that are too long are told so in words; hyper itself has none.
const BUFFER: usize = 256 * 1024;
/// Headers of a request, for the same reason more than it may have.
const HEADERS: usize = 512;

/// Requests at once on one connection that speaks HTTP/2.
const STREAMS: u32 = 128;
/// Bytes that one request's body, and all of them together, may send ahead of who reads them.
const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one answer that wait for a slow client.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves one connection that speaks HTTP/1 to its end.
pub(super) async fn serve<S>(
    gateway: Gateway,
    stream: S,
    client: Client,
    stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Cut + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::new(false));
    let limits = Arc::clone(gateway.control.settings());
    let connection = http1::Builder::new()
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .half_close(false)
        .serve_connection(watched(stream, &pulse), service(gateway, client, &pulse))
        .with_upgrades();
    let connection = pin!(connection);
    let end = |connection: Pin<&mut _>| http1::UpgradeableConnection::graceful_shutdown(connection);
    drive(connection, end, &pulse, &limits.server, stopping).await;
}

/// Serves one connection that speaks HTTP/2 to its end.
pub(super) async fn serve_http2<S>(
    gateway: Gateway,
    stream: S,
    client: Client,
    stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Cut + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::new(true));
    let limits = Arc::clone(gateway.control.settings());
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(watched(stream, &pulse), service(gateway, client, &pulse));
    let connection = pin!(connection);
    let end = |connection: Pin<&mut _>| http2::Connection::graceful_shutdown(connection);
    drive(connection, end, &pulse, &limits.server, stopping).await;
}

fn watched<S: Cut>(stream: S, pulse: &Arc<Pulse>) -> TokioIo<Watched<S>> {
    TokioIo::new(Watched {
        stream,
        pulse: Arc::clone(pulse),
    })
}

/// What answers the requests of one connection.
fn service(
    gateway: Gateway,
    client: Client,
    pulse: &Arc<Pulse>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Counted>,
    Error = Infallible,
    Future: Send + 'static,
> + use<> {
    let pulse = Arc::clone(pulse);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        let gateway = gateway.clone();
        let busy = Busy::begin(&pulse);
        // In a box that is gone with the answer's head: what follows may be a stream that is idle
        // for hours.
        Box::pin(async move {
            let response = access::answer(&gateway, request).await;
            Ok::<_, Infallible>(response.map(|body| Counted { body, busy }))
        })
    })
}

/// Drives a connection to its end, or to the end of its time. It stays where it is: moved, it would
/// be in the future twice.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    end: impl Fn(Pin<&mut C>),
    pulse: &Pulse,
    limits: &soulbox_settings::section::Server,
    mut stopping: watch::Receiver<bool>,
) {
    let mut told = false;
    loop {
        let left = pulse.left(limits.header_timeout, limits.idle_timeout);
        if left.is_zero() {
            return;
        }
        tokio::select! {
            // How it ends is the client's affair.
            _ = &mut connection => return,
            () = tokio::time::sleep(left) => {}
            changed = stopping.wait_for(|stop| *stop), if !told => {
                told = true;
                if changed.is_ok() {
                    end(connection.as_mut());
                }
            }
        }
    }
}

/// What a connection is doing, for its time limits.
struct Pulse {
    began: Instant,
    /// Requests that are being answered.
    busy: AtomicUsize,
    /// Milliseconds from `began` to when it was last idle, or its head began.
    since: AtomicU64,
    /// Whether part of a head has come.
    head: AtomicBool,
    /// Whether an answer broke off.
    broken: AtomicBool,
    /// Whether what comes between requests may be something else than a head, as with HTTP/2.
    chatty: bool,
}

impl Pulse {
    fn new(chatty: bool) -> Self {
        Self {
            chatty,
            began: Instant::now(),
            busy: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            // The first head is owed at once.
            head: AtomicBool::new(true),
            broken: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long until the connection is to be looked at again; zero when its time is over.
    fn left(&self, head: Duration, idle: Duration) -> Duration {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return head.min(idle);
        }
        let limit = match self.head.load(Ordering::Relaxed) {
            true => head,
            false => idle,
        };
        let since = self.since.load(Ordering::Relaxed);
        let so_far = Duration::from_millis(self.now().saturating_sub(since));
        limit.saturating_sub(so_far)
    }

    fn read(&self) {
        let idle = !self.chatty && self.busy.load(Ordering::Relaxed) == 0;
        if idle && !self.head.swap(true, Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }
}

/// One request that is being answered.
struct Busy(Arc<Pulse>);

impl Busy {
    fn begin(pulse: &Arc<Pulse>) -> Self {
        pulse.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let pulse = &self.0;
        pulse.head.store(false, Ordering::Relaxed);
        pulse.since.store(pulse.now(), Ordering::Relaxed);
        pulse.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body during which the connection is busy.
struct Counted {
    body: axum::body::Body,
    busy: Busy,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // With HTTP/2 an answer is reset without the connection.
        if let Poll::Ready(Some(Err(_))) = polled
            && !self.busy.0.chatty
        {
            self.busy.0.broken.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that can be cut, so that the other side sees a failure instead of an end.
pub(super) trait Cut {
    /// Has the connection reset when it is dropped.
    fn cut(&self);
}

impl Cut for TcpStream {
    fn cut(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Cut for TlsStream<TcpStream> {
    fn cut(&self) {
        self.get_ref().0.cut();
    }
}

/// A stream that notes when a head begins to come, and is cut after an answer that broke off: a plain
/// end there is no failure of the connection to all of E2B's clients, and only after such a failure do they
/// ask whether the sandbox was killed.
struct Watched<S: Cut> {
    stream: S,
    pulse: Arc<Pulse>,
}

impl<S: Cut> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.pulse.broken.load(Ordering::Relaxed) {
            self.stream.cut();
        }
    }
}

impl<S: AsyncRead + Cut + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.pulse.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Cut + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_never_comes_and_idleness_have_their_own_limits() {
        let (head, idle) = (Duration::from_secs(30), Duration::from_secs(640));
        let pulse = Arc::new(Pulse::new(false));
        assert!(pulse.left(head, idle) <= head);
        let busy = Busy::begin(&pulse);
        assert_eq!(pulse.left(head, idle), head, "an answer has no limit");
        drop(busy);
        assert!(pulse.left(head, idle) > head, "idle between requests");
        pulse.read();
        assert!(pulse.left(head, idle) <= head, "the next head began");
        assert!(pulse.left(Duration::ZERO, idle).is_zero());
    }
}
