//! Bodies of requests: bounded, and an error names the field that is wrong.

use crate::door::Gateway;
use crate::drained::Drained;
use crate::error::ApiError;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde::de::DeserializeOwned;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be missing.
pub(crate) struct MaybeJson<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned> FromRequest<Gateway> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, ApiError> {
        let body = whole(request, gateway).await?;
        parse(&body).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Gateway> for MaybeJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, ApiError> {
        let body = whole(request, gateway).await?;
        match body.trim_ascii().is_empty() {
            true => Ok(Self(None)),
            false => parse(&body).map(|value| Self(Some(value))),
        }
    }
}

/// A body that is passed on, and fails when it stands still for too long.
pub(crate) struct Stalling {
    body: Drained,
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Stalling {
    pub(crate) fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body: Drained::new(body),
            limit,
            sleep: Box::pin(tokio::time::sleep(limit)),
        }
    }
}

impl Body for Stalling {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let next = Instant::now() + self.limit;
            self.sleep.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        ready!(self.sleep.as_mut().poll(context));
        let message = format!("the body stood still for {:?}", self.limit);
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads a body within its limits of size and time.
pub(crate) async fn whole(request: Request, gateway: &Gateway) -> Result<Bytes, ApiError> {
    let server = &gateway.control.settings().server;
    let most = usize::try_from(server.body.bytes()).unwrap_or(usize::MAX);
    let limited = Limited::new(request.into_body(), most);
    let collected = tokio::time::timeout(server.body_timeout, limited.collect()).await;
    let collected = collected.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {:?}", server.body_timeout),
        )
    })?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {most} bytes (setting server.body)"),
        )),
        Err(error) => Err(ApiError::bad(format!("the body broke off: {error}"))),
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        match path.as_str() {
            "." | "?" => ApiError::bad(format!("body: {reason}")),
            path => ApiError::bad(format!("{path}: {reason}")),
        }
    })?;
    json.end()
        .map_err(|error| ApiError::bad(format!("body: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        #[serde(default)]
        env_vars: std::collections::BTreeMap<String, String>,
        count: u8,
    }

    #[test]
    fn a_wrong_field_is_named() {
        let error = |body: &str| parse::<Sample>(body.as_bytes()).unwrap_err().message;
        assert!(error(r#"{"envVars":{"A":1},"count":1}"#).starts_with("envVars.A: "));
        assert!(error(r#"{"count":-1}"#).starts_with("count: "));
        assert!(error("{}").contains("`count`"));
        assert!(error("nonsense").starts_with("body: "));
        assert!(error(r#"{"count":1} x"#).starts_with("body: "));
    }
}
