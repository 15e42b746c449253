//! Connections to one agent: new ones, and those kept for the next call.

use super::AgentError;
use super::limits::AgentLimits;
use super::place::{Place, Stream};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Idle connections that are kept: calls are short, so a few serve many.
const KEPT: usize = 8;
/// Bytes of an answer's head, and of what is read at once.
const BUFFER: usize = 128 * 1024;
/// Headers of an answer. An agent of ours sends at most eight.
const HEADERS: usize = 64;
/// How long to rest when the agent's queue of connections is full.
const QUEUE_REST: Duration = Duration::from_millis(2);

/// The body of a request.
pub(super) enum Body {
    /// Known whole.
    Whole(Option<Bytes>),
    /// Made as it goes.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = io::Error> + Send>>),
}

impl Body {
    pub(super) fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        Self::Stream(Box::pin(body))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

pub(super) type Driver = http1::Connection<TokioIo<Stream>, Body>;

/// One connection. It makes progress only while somebody waits through [`Connection::drive`]:
/// so no task and no other thread is between a caller and the socket.
pub(super) struct Connection {
    sender: http1::SendRequest<Body>,
    pub(super) driver: Option<Driver>,
    home: Arc<Pool>,
}

impl Connection {
    /// Waits for `future`, which needs this connection's progress.
    pub(super) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let driver = &mut self.driver;
        poll_fn(|context| {
            advance(driver, context);
            future.as_mut().poll(context)
        })
        .await
    }

    /// As [`Connection::drive`], within a time limit.
    pub(super) async fn drive_within<F: Future>(
        &mut self,
        what: &'static str,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, AgentError> {
        let within = tokio::time::timeout(limit, self.drive(future));
        within
            .await
            .map_err(|_| AgentError::Timeout { what, limit })
    }

    /// Whether it can take a request: it lets it find out if the agent has hung up.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|context| {
            advance(&mut self.driver, context);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Gives it back for the next call, if it can take one.
    pub(super) async fn give_back(mut self) {
        if self.is_usable().await {
            self.give_back_now();
        }
    }

    /// Gives it back if it can take another call at this moment.
    pub(super) fn give_back_now(self) {
        if self.driver.is_some() && self.sender.is_ready() {
            let home = Arc::clone(&self.home);
            let mut kept = home.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push((self.sender, self.driver));
            }
        }
    }
}

/// Lets a connection read and write what it can; forgets its driver once it is over.
pub(super) fn advance(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if let Some(running) = driver
        && Pin::new(running).poll(context).is_ready()
    {
        *driver = None;
    }
}

/// The connections of one client.
pub(super) struct Pool {
    place: Place,
    kept: Mutex<Vec<(http1::SendRequest<Body>, Option<Driver>)>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            kept: Mutex::default(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(
        self: &Arc<Self>,
        limits: &AgentLimits,
        mut request: Request<Body>,
    ) -> Result<(Connection, Response<Incoming>), AgentError> {
        if let Place::Server(door) = &self.place {
            let given = door.headers.iter();
            let headers = request.headers_mut();
            headers.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        }
        loop {
            let kept = self
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some((sender, driver)) => {
                    let home = Arc::clone(self);
                    let mut kept = Connection {
                        sender,
                        driver,
                        home,
                    };
                    if !kept.is_usable().await {
                        continue;
                    }
                    kept
                }
                None => self.connect(limits).await?,
            };
            let sent = connection.sender.try_send_request(request);
            let sent = connection
                .drive_within("answer", limits.header, sent)
                .await?;
            match sent {
                Ok(response) => return Ok((connection, response)),
                // The kept connection was over already: nothing of the request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if was_kept => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(self: &Arc<Self>, limits: &AgentLimits) -> Result<Connection, AgentError> {
        let stream = self.dial(limits).await?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Connection {
            sender,
            driver: Some(driver),
            home: Arc::clone(self),
        })
    }

    /// A new connection, not yet of any protocol.
    pub(super) async fn dial(&self, limits: &AgentLimits) -> Result<Stream, AgentError> {
        let stream = tokio::time::timeout(limits.connect, self.open()).await;
        stream
            .map_err(|_| AgentError::Timeout {
                what: "accept a connection",
                limit: limits.connect,
            })?
            .map_err(|source| AgentError::Connect {
                socket: self.place.shown(),
                source,
            })
    }

    /// Linux refuses a connection at once while the listener's queue is full.
    pub(super) async fn open(&self) -> io::Result<Stream> {
        loop {
            match self.place.open().await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(QUEUE_REST).await;
                }
                other => return other,
            }
        }
    }
}
