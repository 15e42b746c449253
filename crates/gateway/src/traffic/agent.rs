//! The agent's own port. Whether a request may go there is decided here: what the agent itself would say
//! proves nothing.

use super::commands::{self, Heard};
use super::{forward, refuse, signature};
use crate::body::Stalling;
use crate::door::Gateway;
use crate::drained::Drained;
use crate::error::ApiError;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use soulbox_control::Live;
use soulbox_control::token::Purpose;
use soulbox_model::SandboxRecord;
use soulbox_runtime::agent_client::AgentError;
use soulbox_wire::connect::FORKED_HEADER;

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

/// Headers that are for us, or from us: the agent gets neither tokens nor keys.
pub(super) const OURS: [&str; 3] = ["x-access-token", "x-api-key", FORKED_HEADER];

/// Passes a request to the agent that was let in by [`admit`].
pub(super) async fn serve(gateway: &Gateway, live: &Live, request: Request<Incoming>) -> Response {
    let heard = Heard::of(gateway.control.log(), live.id(), &request);
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
    let body = Stalling::new(Drained::new(body), stall);
    let fault = body.fault();
    let request = Request::from_parts(parts, commands::asked(body, heard.as_ref()));
    match live.agent().pass(request).await {
        // Nobody asked it to speak another protocol, and what comes then is no answer.
        Ok(response) if response.status().is_informational() => {
            refuse::closed(&live.id(), super::AGENT_PORT).json()
        }
        Ok(mut response) => {
            forward::strip(response.headers_mut());
            match heard {
                None => response.map(Body::new),
                Some(heard) => response.map(|body| Body::new(commands::answered(body, heard))),
            }
        }
        Err(error) => {
            if let Some(told) = fault.told() {
                return told.into_response();
            }
            silent(live, super::AGENT_PORT, &error)
        }
    }
}

/// The agent does not answer.
pub(super) fn silent(live: &Live, port: u16, error: &AgentError) -> Response {
    let id = live.id();
    tracing::debug!(sandbox = %id, error = error as &dyn std::error::Error, "the agent does not answer");
    match live.look(SandboxRecord::is_live) {
        true => refuse::closed(&id, port).json(),
        false => refuse::not_found(&id).json(),
    }
}

/// Who sent a request that may go to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Somebody whom the sandbox's owner gave its token, or a signature; anybody if it wants none.
    Owner,
    /// Anybody, with a question that anybody may ask. It is no reason to wake a sandbox.
    Stranger,
}

/// Whether a request may go to the agent: its path, and the token, or the signature in its place.
pub(super) fn admit<B>(
    gateway: &Gateway,
    live: &Live,
    request: &Request<B>,
) -> Result<Admitted, ApiError> {
    let record = live.record();
    let (method, path) = (request.method(), request.uri().path());
    if INTERNAL.contains(&path) {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "there is nothing here",
        ));
    }
    if !record.secure {
        return Ok(Admitted::Owner);
    }
    let secret = gateway.control.secret();
    let given = request.headers().get(ACCESS_TOKEN);
    let accepted = given.is_some_and(|token| {
        let token = token.to_str().unwrap_or_default();
        secret.accepts(Purpose::Agent, &record.id, token)
    });
    if accepted {
        return Ok(Admitted::Owner);
    }
    let open = *method == Method::OPTIONS
        || (path == "/health" && (*method == Method::GET || *method == Method::HEAD));
    if open {
        return Ok(Admitted::Stranger);
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
        .map(|()| Admitted::Owner)
        .map_err(|error| ApiError::new(StatusCode::UNAUTHORIZED, error.to_string()))
}
