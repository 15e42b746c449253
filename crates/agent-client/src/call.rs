//! One request and one short answer.

use super::connection::{Body, Connection};
use super::{AgentClient, AgentError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Builder;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_wire::connect::{Code, RpcError, TIMEOUT_HEADER, UNARY_TYPE, VERSION_HEADER};
use soulbox_wire::envd::http::HttpError;
use std::time::Duration;

/// The host of requests for kernels.
pub const KERNELS: &str = "kernels";

/// A message as JSON.
pub(super) fn to_json(message: &impl Serialize) -> Result<Bytes, AgentError> {
    let json = serde_json::to_vec(message);
    Ok(json
        .map_err(|error| AgentError::Protocol(error.to_string()))?
        .into())
}

/// The beginning of a request. HTTP/1.1 wants a host; the agent ignores it.
pub(super) fn begin(method: Method, target: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, "agent")
}

/// The beginning of a call of a service's method.
pub(super) fn begin_rpc(
    method: &str,
    content_type: &str,
    user: Option<&str>,
    timeout: Option<Duration>,
) -> Builder {
    let mut request = begin(Method::POST, &format!("/{method}"))
        .header(CONTENT_TYPE, content_type)
        .header(VERSION_HEADER, "1");
    if let Some(user) = user {
        let credentials = STANDARD.encode(format!("{user}:"));
        request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
    }
    if let Some(timeout) = timeout {
        // Ten digits are the most that the protocol takes, 115 days.
        let millis = timeout.as_millis().min(9_999_999_999);
        request = request.header(TIMEOUT_HEADER, millis.to_string());
    }
    request
}

/// Completes a request.
pub(super) fn finish(request: Builder, body: impl Into<Body>) -> Result<Request<Body>, AgentError> {
    // Only a user's name or a path can be unfit for a head, and both are encoded.
    request
        .body(body.into())
        .map_err(|error| AgentError::Protocol(error.to_string()))
}

impl AgentClient {
    /// A request to a plain route, and the whole of its answer.
    pub(super) async fn plain(
        &self,
        method: Method,
        target: &str,
        json: Option<Bytes>,
    ) -> Result<Bytes, AgentError> {
        let request = begin(method, target).header(CONTENT_TYPE, UNARY_TYPE);
        let request = finish(request, json.unwrap_or_default())?;
        let (mut connection, response) = self.pool.send(&self.limits, request).await?;
        let response = self.expect_success(&mut connection, response).await?;
        self.read_whole(connection, response, self.limits.answer_bytes)
            .await
    }

    /// As [`AgentClient::plain`], of the routes for kernels.
    pub(super) async fn plain_of_kernels(&self, target: &str) -> Result<Bytes, AgentError> {
        let request = Request::builder().uri(target).header(HOST, KERNELS);
        let request = finish(request, Bytes::new())?;
        let (mut connection, response) = self.pool.send(&self.limits, request).await?;
        let response = self.expect_success(&mut connection, response).await?;
        self.read_whole(connection, response, self.limits.answer_bytes)
            .await
    }

    /// A method with one message each way.
    pub(super) async fn unary<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: &str,
        user: Option<&str>,
        message: &Q,
        limit: usize,
    ) -> Result<A, AgentError> {
        let request = begin_rpc(method, UNARY_TYPE, user, None);
        let request = finish(request, to_json(message)?)?;
        let (connection, response) = self.pool.send(&self.limits, request).await?;
        let status = response.status();
        let body = self.read_whole(connection, response, limit).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|error| AgentError::Protocol(error.to_string()));
        }
        match serde_json::from_slice::<RpcError>(&body) {
            Ok(error) => Err(error.into()),
            Err(_) => Err(AgentError::Status {
                status,
                message: excerpt(&body),
            }),
        }
    }

    /// Passes on a good answer of a plain route; makes an error of another one.
    pub(super) async fn expect_success(
        &self,
        connection: &mut Connection,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, AgentError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self
            .collect(connection, response, self.limits.answer_bytes)
            .await?;
        let message = serde_json::from_slice::<HttpError>(&body)
            .map_or_else(|_| excerpt(&body), |error| error.message);
        Err(AgentError::Status { status, message })
    }

    /// Reads an answer to its end and gives the connection back.
    pub(super) async fn read_whole(
        &self,
        mut connection: Connection,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<Bytes, AgentError> {
        let body = self.collect(&mut connection, response, limit).await?;
        connection.give_back().await;
        Ok(body)
    }

    async fn collect(
        &self,
        connection: &mut Connection,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<Bytes, AgentError> {
        let mut body = response.into_body();
        let whole = async {
            let mut whole = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(piece) = frame?.into_data() else {
                    continue;
                };
                if whole.len() + piece.len() > limit {
                    return Err(AgentError::TooLarge {
                        what: "answer",
                        limit: limit as u64,
                    });
                }
                whole.extend_from_slice(&piece);
            }
            Ok(whole.freeze())
        };
        connection
            .drive_within("finish its answer", self.limits.unary, whole)
            .await?
    }
}

/// The beginning of an answer that is not what it should be, for a message.
fn excerpt(body: &[u8]) -> String {
    const LONGEST: usize = 200;
    String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body)).into_owned()
}

/// A failure of the protocol in words.
pub(super) fn nonsense(what: impl Into<String>) -> AgentError {
    AgentError::Protocol(what.into())
}

/// An answer to a stream's request that is no stream.
pub(super) fn not_a_stream(status: StatusCode) -> AgentError {
    let message = format!("a stream was answered with {status}");
    AgentError::Rpc(RpcError::new(Code::Unknown, message))
}
