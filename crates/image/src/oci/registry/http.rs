//! One request and its answer, bounded in time and size. Each has a connection of its own: an
//! image takes few of them, and none is found closed when it is needed.

use super::line::{LineError, Lines};
use bytes::{Bytes, BytesMut};
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Bytes of an answer's head, and of what is read at once.
const BUFFER: usize = 64 << 10;
/// Headers of an answer.
const HEADERS: usize = 128;

/// A request that got no answer, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no connection.
    #[error("{host} cannot be reached")]
    Line {
        /// The host.
        host: String,
        /// Why.
        source: LineError,
    },
    /// A time limit passed.
    #[error("{host} took longer than {limit:?} to {what}")]
    Timeout {
        /// The host.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection to {host} broke")]
    Broken {
        /// The host.
        host: String,
        /// What was wrong.
        source: hyper::Error,
    },
    /// The answer is longer than what is read.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit.
        limit: u64,
    },
    /// The address cannot be asked for.
    #[error("{0:?} is no address that can be asked")]
    Address(String),
}

impl HttpError {
    /// Whether it may go well another time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Line { source, .. } => matches!(
                source,
                LineError::Connect(_) | LineError::ProxyBroken(_) | LineError::NotTls(_)
            ),
            Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::TooLarge { .. } | Self::Address(_) => false,
        }
    }
}

/// An address without what may be a secret: signed addresses have it behind the question mark.
fn shown(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    format!("{host}{}", url.path()).chars().take(200).collect()
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) connect: Duration,
    pub(super) stall: Duration,
}

/// An answer, its body still to be read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Answer {
    /// A header that is text.
    pub(super) fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The body of an answer. The connection ends with it.
pub(super) struct Body {
    host: String,
    incoming: Incoming,
    stall: Duration,
    connection: AbortHandle,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Body {
    /// The next piece; `None` at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = tokio::time::timeout(self.stall, self.incoming.frame());
            let frame = frame.await.map_err(|_| HttpError::Timeout {
                host: self.host.clone(),
                what: "send more",
                limit: self.stall,
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(source)) => {
                    let host = self.host.clone();
                    return Err(HttpError::Broken { host, source });
                }
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// All of it, at most `limit` bytes.
    pub(super) async fn whole(mut self, limit: u64) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        // A drop a minute would keep it open for years.
        let (deadline, host) = (self.stall * 4, self.host.clone());
        let read = async {
            while let Some(piece) = self.piece().await? {
                if (whole.len() + piece.len()) as u64 > limit {
                    let host = self.host.clone();
                    return Err(HttpError::TooLarge { host, limit });
                }
                whole.extend_from_slice(&piece);
            }
            Ok(())
        };
        let timeout = |_| HttpError::Timeout {
            host,
            what: "finish its answer",
            limit: deadline,
        };
        tokio::time::timeout(deadline, read)
            .await
            .map_err(timeout)??;
        Ok(whole.freeze())
    }
}

/// A request.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends a request and waits for the head of the answer.
pub(super) async fn send(lines: &Lines, times: Times, ask: Ask) -> Result<Answer, HttpError> {
    let Some(authority) = ask.url.authority() else {
        return Err(HttpError::Address(shown(&ask.url)));
    };
    let host = authority.to_string();
    let timeout = |what, limit| {
        let host = host.clone();
        move |_| HttpError::Timeout { host, what, limit }
    };
    let broken = |source| HttpError::Broken {
        host: host.clone(),
        source,
    };
    let line = tokio::time::timeout(times.connect, lines.open(&ask.url))
        .await
        .map_err(timeout("connect", times.connect))?
        .map_err(|source| HttpError::Line {
            host: host.clone(),
            source,
        })?;
    let request = request(&ask, &host, line.proxy.as_ref())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .handshake(TokioIo::new(line.stream))
        .await
        .map_err(broken)?;
    let connection = tokio::spawn(connection).abort_handle();
    let answer = tokio::time::timeout(times.stall, sender.send_request(request))
        .await
        .map_err(timeout("answer", times.stall))
        .and_then(|answer| answer.map_err(broken));
    let answer: Response<Incoming> = answer.inspect_err(|_| connection.abort())?;
    let (head, incoming) = answer.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: Body {
            host,
            incoming,
            stall: times.stall,
            connection,
        },
    })
}

fn request(
    ask: &Ask,
    host: &str,
    proxy: Option<&hyper_util::client::proxy::matcher::Intercept>,
) -> Result<Request<Full<Bytes>>, HttpError> {
    let wrong = || HttpError::Address(shown(&ask.url));
    let path = ask.url.path_and_query().map_or("/", |path| path.as_str());
    // A proxy for plain HTTP is told the whole address.
    let target: Uri = match proxy {
        Some(_) => ask.url.clone(),
        None => path.parse().map_err(|_| wrong())?,
    };
    let host = HeaderValue::from_str(host).map_err(|_| wrong())?;
    let mut request = Request::new(Full::new(ask.body.clone()));
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = ask.headers.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    let agent = concat!("soulbox/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let plain = ask.url.scheme() == Some(&Scheme::HTTP);
    if let Some(authorization) = proxy.filter(|_| plain).and_then(|proxy| proxy.basic_auth()) {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}
