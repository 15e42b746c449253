//! The port of a sandbox's kernels, which its agent serves: E2B's code interpreter. In a sandbox without kernels the
//! port is one like all others.

use super::forward::{self, TRAFFIC_TOKEN};
use super::{agent, refuse};
use crate::body::Stalling;
use crate::door::Gateway;
use crate::drained::Drained;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, Request, Version, header};
use hyper::body::Incoming;
use soulbox_control::Live;
use soulbox_runtime::agent_client::{AgentError, KERNELS};
use std::num::NonZeroU16;

/// The port that E2B's clients of a code interpreter ask.
const PORT: u16 = 49999;

/// Whether requests to `port` are for kernels.
pub(super) async fn are_at(port: NonZeroU16, live: &Live) -> Result<bool, AgentError> {
    match port.get() {
        PORT => live.has_kernels().await,
        _ => Ok(false),
    }
}

/// Passes a request to the kernels of a sandbox.
pub(super) async fn serve(gateway: &Gateway, live: &Live, request: Request<Incoming>) -> Response {
    let (mut parts, body) = request.into_parts();
    forward::strip(&mut parts.headers);
    parts.headers.remove(TRAFFIC_TOKEN);
    parts.headers.remove(header::EXPECT);
    for name in agent::OURS {
        parts.headers.remove(name);
    }
    parts
        .headers
        .insert(header::HOST, HeaderValue::from_static(KERNELS));
    parts.uri = forward::origin_form(&parts.uri);
    parts.version = Version::HTTP_11;
    let stall = gateway.control.settings().server.body_timeout;
    let body = Stalling::new(Drained::new(body), stall);
    let fault = body.fault();
    if parts.method == Method::POST {
        live.supply().await;
    }
    match live.agent().pass(Request::from_parts(parts, body)).await {
        Ok(response) if response.status().is_informational() => {
            refuse::closed(&live.id(), PORT).json()
        }
        Ok(mut response) => {
            forward::strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => match fault.told() {
            Some(told) => told.into_response(),
            None => agent::silent(live, PORT, &error),
        },
    }
}
