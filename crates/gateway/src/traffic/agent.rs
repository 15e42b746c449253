//! The agent's own port. Whether a request may go there is decided here: what the agent itself would say
//! proves nothing.

use super::{forward, refuse, signature};
use crate::body::Stalling;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use soulbox_control::Live;
use soulbox_control::token::Purpose;

/// The header with the sandbox's token.
const ACCESS_TOKEN: &str = "x-access-token";

/// The agent's routes that are for the host alone.
const INTERNAL: [&str; 7] = [
    "/init",
    "/freeze",
    "/unfreeze",
    "/collapse",
    "/fsfreeze",
    "/fsthaw",
    "/upgrade",
];

/// Headers that are for us: the agent gets neither tokens nor keys.
const OURS: [&str; 2] = ["x-access-token", "x-api-key"];

/// Passes a request to the agent, if it may go there.
pub(crate) async fn serve(gateway: &Gateway, live: &Live, request: Request<Incoming>) -> Response {
    let path = request.uri().path();
    if INTERNAL.contains(&path) {
        return ApiError::new(StatusCode::NOT_FOUND, "there is nothing here").into_response();
    }
    if let Err(error) = check(gateway, live, &request) {
        return error.into_response();
    }
    let (mut parts, body) = request.into_parts();
    forward::strip(&mut parts.headers);
    for name in OURS {
        parts.headers.remove(name);
    }
    parts
        .headers
        .insert(header::HOST, HeaderValue::from_static("agent"));
    parts.uri = forward::origin_form(&parts.uri);
    parts.version = http::Version::HTTP_11;
    let stall = gateway.control.settings().server.body_timeout;
    let request = Request::from_parts(parts, Stalling::new(body, stall));
    match live.agent().pass(request).await {
        Ok(mut response) => {
            forward::strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => {
            let id = live.id();
            tracing::debug!(sandbox = %id, error = &error as &dyn std::error::Error, "the agent does not answer");
            match live.record().is_live() {
                true => refuse::closed(&id, super::AGENT_PORT).json(),
                false => refuse::not_found(&id).json(),
            }
        }
    }
}

/// Checks the token, or the signature in its place.
fn check(gateway: &Gateway, live: &Live, request: &Request<Incoming>) -> Result<(), ApiError> {
    let record = live.record();
    let (method, path) = (request.method(), request.uri().path());
    let open = *method == Method::OPTIONS
        || (path == "/health" && (*method == Method::GET || *method == Method::HEAD));
    if !record.secure || open {
        return Ok(());
    }
    let secret = gateway.control.secret();
    let given = request.headers().get(ACCESS_TOKEN);
    let accepted = given.is_some_and(|token| {
        let token = token.to_str().unwrap_or_default();
        secret.accepts(Purpose::Agent, &record.id, token)
    });
    if accepted {
        return Ok(());
    }
    let refuse = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
    if path != "/files" || !signature::operations(method) {
        return refuse(
            "unauthorized access, please provide a valid access token or method signing if supported",
        );
    }
    if given.is_some() {
        return refuse("access token present in header but does not match");
    }
    let token = secret.token(Purpose::Agent, &record.id);
    signature::check(method, request.uri(), &token)
        .map_err(|error| ApiError::new(StatusCode::UNAUTHORIZED, error.to_string()))
}
