//! One request, one answer. Nothing is ever sent again by itself.

use crate::line::{Line, LineError};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;

/// Bytes of an answer's head, and of what is read at once.
const BUFFER: usize = 128 * 1024;
/// Headers of an answer. The server sends at most ten of its own.
const HEADERS: usize = 128;

/// A request that got no answer, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no connection.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A time limit passed.
    #[error("it took longer than {limit:?} to {what} (section client of the settings)")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    /// The answer is longer than what is read.
    #[error("the answer is longer than {limit} bytes (setting client.answer)")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Sends a request over a connection of its own, and waits for the head of the answer.
pub(crate) async fn send(
    line: &Line,
    limits: &soulbox_settings::section::Client,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ExchangeError> {
    let stream = within("connect", limits.connect_timeout, line.open()).await??;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    // It ends with the answer's body, or with what follows a change of protocol.
    tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request);
    Ok(within("answer", limits.answer_timeout, answer).await??)
}

/// Reads the body of an answer to its end.
pub(crate) async fn whole(
    body: Incoming,
    limits: &soulbox_settings::section::Client,
) -> Result<Bytes, ExchangeError> {
    let limit = usize::try_from(limits.answer.bytes()).unwrap_or(usize::MAX);
    let mut body = body;
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else {
                continue;
            };
            if whole.len() + piece.len() > limit {
                return Err(ExchangeError::TooLarge { limit });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    within("finish its answer", limits.answer_timeout, read).await?
}

async fn within<F: Future>(
    what: &'static str,
    limit: Duration,
    work: F,
) -> Result<F::Output, ExchangeError> {
    let within = tokio::time::timeout(limit, work).await;
    within.map_err(|_| ExchangeError::Timeout { what, limit })
}
