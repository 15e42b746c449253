//! Why a request does not reach a sandbox. Clients read these texts: E2B's SDKs tell a sandbox that is gone
//! from a port that is closed by them.

use crate::error::ApiError;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use soulbox_control::ControlError;
use soulbox_model::SandboxId;

/// There is no such sandbox, or it does not take requests.
pub(crate) fn not_found(id: &SandboxId) -> Response {
    let body = json!({
        "sandboxId": id, "message": "The sandbox was not found", "code": 502,
    });
    bad_gateway(&body)
}

/// Nothing listens on that port.
pub(crate) fn closed(id: &SandboxId, port: u16) -> Response {
    let body = json!({
        "sandboxId": id, "message": "The sandbox is running but port is not open", "port": port, "code": 502,
    });
    bad_gateway(&body)
}

/// The way to the sandbox failed.
pub(crate) fn failed(error: ControlError) -> Response {
    ApiError::from(error).into_response()
}

fn bad_gateway(body: &serde_json::Value) -> Response {
    let mut response = (StatusCode::BAD_GATEWAY, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
