//! Failures on the wire: always JSON with an integer `code` that is the status, and a `message`.
//!
//! That is E2B's shape, and every surface of ours that has none of its own uses it. `Should-Retry` tells
//! E2B's Python SDK what to do with 429, 502, 503 and 504, which it would otherwise repeat.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "code": self.status.as_u16(), "message": self.message });
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
            ControlError::NoCommand(_) => StatusCode::NOT_FOUND,
            ControlError::Invalid { .. } | ControlError::Refused { .. } => StatusCode::BAD_REQUEST,
            ControlError::State { .. }
            | ControlError::CommandState { .. }
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
            ControlError::Store(StoreError::Full) => StatusCode::INSUFFICIENT_STORAGE,
            ControlError::Create(_)
            | ControlError::Driver { .. }
            | ControlError::Pause { .. }
            | ControlError::Agent { .. }
            | ControlError::Output { .. }
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
