//! Bodies of requests: bounded, and an error names the field that is wrong.

use crate::door::Gateway;
use crate::drained::Drained;
use crate::error::ApiError;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use soulbox_model::ByteSize;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
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
pub(crate) struct Stalling<B = Drained> {
    body: B,
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Whether somebody waits for it: while the receiver takes nothing, the sender is not to blame.
    awaited: bool,
    fault: Fault,
}

/// What was wrong with a body that was passed on. Whoever it was passed to hangs up then, and is not to blame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<OnceLock<(StatusCode, String)>>);

impl Fault {
    /// The refusal that the client gets, if its body was wrong.
    pub(crate) fn told(&self) -> Option<ApiError> {
        let (status, message) = self.0.get()?;
        Some(ApiError::new(*status, message.clone()))
    }

    fn set(&self, status: StatusCode, message: &str) {
        // The first is what ended it.
        let _ = self.0.set((status, message.to_owned()));
    }
}

impl<B> Stalling<B> {
    pub(crate) fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            limit,
            sleep: Box::pin(tokio::time::sleep(limit)),
            awaited: false,
            fault: Fault::default(),
        }
    }

    /// What will have been wrong with it.
    pub(crate) fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

impl<B> Body for Stalling<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.awaited = false;
            let frame = frame.map(|frame| frame.map_err(io::Error::other));
            if let Some(Err(error)) = &frame {
                let message = format!("the body broke off: {error}");
                self.fault.set(StatusCode::BAD_REQUEST, &message);
            }
            return Poll::Ready(frame);
        }
        if !self.awaited {
            self.awaited = true;
            let end = Instant::now() + self.limit;
            self.sleep.as_mut().reset(end);
        }
        ready!(self.sleep.as_mut().poll(context));
        let message = format!(
            "the body stood still for {:?} (setting server.body_timeout)",
            self.limit
        );
        self.fault.set(StatusCode::REQUEST_TIMEOUT, &message);
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
    whole_within(request, ("server.body", server.body), server.body_timeout).await
}

/// Reads a body within a limit, by its setting, and a time.
pub(crate) async fn whole_within(
    request: Request,
    (setting, size): (&str, ByteSize),
    time: Duration,
) -> Result<Bytes, ApiError> {
    let most = usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let limited = Limited::new(request.into_body(), most);
    let collected = tokio::time::timeout(time, limited.collect()).await;
    let collected = collected.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {time:?} (setting server.body_timeout)"),
        )
    })?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {most} bytes (setting {setting})"),
        )),
        Err(error) => Err(ApiError::bad(format!("the body broke off: {error}"))),
    }
}

pub(crate) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        // A client may name a field by nothing, or by what reads as no name.
        match path.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            true => ApiError::bad(format!("{path}: {reason}")),
            false => ApiError::bad(format!("body: {reason}")),
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

    #[test]
    fn a_field_whose_name_is_none_is_told_of_the_body() {
        type Fields = std::collections::BTreeMap<String, u8>;
        for name in ["", " ", ":", ".", "?"] {
            let body = format!(r#"{{"{name}":"x"}}"#);
            let error = parse::<Fields>(body.as_bytes()).unwrap_err().message;
            assert!(error.starts_with("body: invalid type"), "{name:?}: {error}");
        }
    }

    struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            let piece = ready!(self.0.poll_recv(context));
            Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_is_waited_for_stands_still() {
        let (sender, pieces) = tokio::sync::mpsc::channel(1);
        let limit = Duration::from_secs(60);
        let mut body = Stalling::new(Pieces(pieces), limit);
        // Nobody asks for the first piece for a long time: that is no fault of the sender.
        tokio::time::sleep(limit * 3).await;
        let late = async {
            tokio::time::sleep(limit / 2).await;
            sender.send(Bytes::from_static(b"x")).await.unwrap();
        };
        let (first, ()) = tokio::join!(body.frame(), late);
        assert!(first.unwrap().is_ok());
        let began = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), limit);
        let told = body.fault().told().map(|error| error.status);
        assert_eq!(told, Some(StatusCode::REQUEST_TIMEOUT));
    }
}
