//! Failures on the wire: always JSON with an integer `code` that is the status, and a `message`.
//!
//! That is E2B's shape, and every surface of ours that has none of its own uses it. `Should-Retry` tells
//! E2B's Python SDK what to do with 429, 502, 503 and 504, which it would otherwise repeat.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use soulbox_control::ControlError;
use soulbox_node::PauseError;
use soulbox_store::StoreError;
use std::error::Error;
use std::time::Duration;

/// Whether a client should try again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");

/// A failure that is told to a client.
#[derive(Debug)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// What failed, on what, and what to do.
    pub message: String,
    /// When to try again, if that helps.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A failure that another try does not help.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// A request that is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// What is not built.
    pub fn not_built(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }
}

/// The most bytes of a message. It may repeat what the client sent, which may be megabytes.
const LONGEST: usize = 2000;

/// Cuts a message that is too long.
fn cut(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

/// Gives a refusal of the router (a path that is not UTF-8, say) the shape of all others.
pub(crate) async fn in_shape(response: Response) -> Response {
    let status = response.status();
    let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    let shaped = response.headers().get(CONTENT_TYPE).is_some_and(json);
    if shaped || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 2 * LONGEST).await;
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let message = match text.is_empty() {
        true => status
            .canonical_reason()
            .unwrap_or("refused")
            .to_lowercase(),
        false => text,
    };
    let mut shaped = ApiError::new(status, message).into_response();
    for (name, value) in &parts.headers {
        if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
            shaped.headers_mut().insert(name.clone(), value.clone());
        }
    }
    shaped
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let message = cut(&self.message);
        let body = serde_json::json!({ "code": self.status.as_u16(), "message": message });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.retry_after {
            Some(after) => {
                let seconds = after.as_secs_f64().ceil().max(1.0);
                if let Ok(seconds) = HeaderValue::from_str(&format!("{seconds}")) {
                    headers.insert(RETRY_AFTER, seconds);
                }
            }
            None if self.status.is_server_error()
                || self.status == StatusCode::TOO_MANY_REQUESTS =>
            {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            None => {}
        }
        response
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::NoSandbox(_) | ControlError::NoTemplate(_) | ControlError::Ended(_) => {
                StatusCode::NOT_FOUND
            }
            ControlError::NoCommand(_) | ControlError::NoBuild(_) => StatusCode::NOT_FOUND,
            ControlError::ForeignTemplate(_) => StatusCode::FORBIDDEN,
            ControlError::NameTaken(_) | ControlError::BuildState { .. } => StatusCode::CONFLICT,
            ControlError::Invalid { .. } | ControlError::Refused { .. } => StatusCode::BAD_REQUEST,
            ControlError::State { .. }
            | ControlError::CommandState { .. }
            | ControlError::RunBegun
            | ControlError::KeyTaken => StatusCode::CONFLICT,
            ControlError::KeyReused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::NotBuilt(_)
            | ControlError::Pause {
                source: PauseError::NoFreezer,
                ..
            } => StatusCode::NOT_IMPLEMENTED,
            ControlError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            ControlError::TemplateNotReady(_) | ControlError::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ControlError::ProgramMissing { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Store(StoreError::Full) => StatusCode::INSUFFICIENT_STORAGE,
            ControlError::Create(_)
            | ControlError::Templates(_)
            | ControlError::Driver { .. }
            | ControlError::Pause { .. }
            | ControlError::Agent { .. }
            | ControlError::Output { .. }
            | ControlError::Run(_)
            | ControlError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = match &error {
            ControlError::Busy { retry, .. } => Some(*retry),
            ControlError::TemplateNotReady(_) => Some(Duration::from_secs(5)),
            ControlError::Stopping => Some(Duration::from_secs(2)),
            _ => None,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = &error as &dyn Error, "a request failed");
        }
        Self {
            status,
            message: in_words(&error),
            retry_after,
        }
    }
}

/// An error and what is behind it, in one line.
fn in_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let words = error.to_string();
        // Some errors repeat what is behind them.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn what_the_router_refuses_has_our_shape() {
        let plain = (StatusCode::BAD_REQUEST, "no path").into_response();
        let shaped = in_shape(plain).await;
        assert_eq!(shaped.status(), StatusCode::BAD_REQUEST);
        let body = shaped.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, serde_json::json!({"code": 400, "message": "no path"}));
        let good = in_shape((StatusCode::OK, "text").into_response()).await;
        assert_eq!(
            &*good.into_body().collect().await.unwrap().to_bytes(),
            b"text"
        );
    }

    #[test]
    fn a_message_is_cut_between_letters() {
        let long = "ä".repeat(LONGEST);
        assert!(cut(&long).len() <= LONGEST + '…'.len_utf8());
        assert_eq!(cut("short"), "short");
    }
}
