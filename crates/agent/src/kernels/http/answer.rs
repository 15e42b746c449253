//! Answers in the shapes of E2B's server, which is written with FastAPI.

use crate::kernels::context::SubmitError;
use crate::kernels::table::TableError;
use crate::reply::{self, Body, Reply};
use crate::request::BodyError;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

/// An answer to a request that nothing was done for.
pub(super) type Refused = Box<Reply>;

/// A text.
pub(super) fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(Body::from(text.as_bytes().to_vec()));
    *reply.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// A text that says why not.
pub(super) fn refused(status: StatusCode, why: &str) -> Refused {
    Box::new(text(status, why))
}

/// What is wrong with a body.
pub(super) fn wrong(list: &serde_json::Value) -> Refused {
    Box::new(detail(StatusCode::UNPROCESSABLE_ENTITY, list))
}

/// A value in JSON.
pub(super) fn json(value: &impl Serialize) -> Reply {
    reply::json(StatusCode::OK, value)
}

/// What is wrong.
pub(super) fn detail(status: StatusCode, detail: &impl Serialize) -> Reply {
    reply::json(status, &json!({ "detail": detail }))
}

/// The method is not one of `allowed`.
pub(super) fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply = detail(StatusCode::METHOD_NOT_ALLOWED, &"Method Not Allowed");
    let allowed = HeaderValue::from_static(allowed);
    reply.headers_mut().insert(ALLOW, allowed);
    reply
}

/// There is no such context.
pub(super) fn no_context(id: &str) -> Refused {
    let id: String = id.chars().take(64).collect();
    refused(StatusCode::NOT_FOUND, &format!("Context {id} not found"))
}

/// The context has no process.
pub(super) fn not_started(why: &str) -> Refused {
    refused(StatusCode::INTERNAL_SERVER_ERROR, why)
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Stalled => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) | BodyError::Compression(_) => StatusCode::BAD_REQUEST,
        };
        Box::new(detail(status, &error.to_string()))
    }
}

impl From<TableError> for Refused {
    fn from(error: TableError) -> Self {
        let status = match error {
            TableError::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            TableError::Spec(_) | TableError::User(_) | TableError::Random(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Box::new(text(status, &error.to_string()))
    }
}

impl From<SubmitError> for Refused {
    fn from(error: SubmitError) -> Self {
        let status = match error {
            SubmitError::Long(_) => StatusCode::PAYLOAD_TOO_LARGE,
            SubmitError::Many(_) | SubmitError::Much(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        Box::new(text(status, &error.to_string()))
    }
}
