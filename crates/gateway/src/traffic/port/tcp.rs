//! A connection to a port without HTTP.

use super::kept::Home;
use super::upgrade;
use crate::client::Client;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::traffic::forward;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use soulbox_control::Live;
use soulbox_runtime::agent_client::DialError;
use std::error::Error;
use std::num::NonZeroU16;
use std::sync::Arc;

/// Connects to a port of a sandbox, and lets the client's connection become that one.
pub(crate) async fn open(
    gateway: &Gateway,
    live: Arc<Live>,
    port: NonZeroU16,
    mut request: Request,
) -> Result<Response, ApiError> {
    let home = Home::new(&gateway.ports, live, port);
    let place = home.place().ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the sandbox has as many connections as it may have at once (setting server.sandbox_connections)",
        )
    })?;
    let client = request.extensions_mut().remove::<Client>();
    let stream = home.live().agent().dial(port).await;
    let stream = stream.map_err(|error| refused(&home, &error))?;
    let theirs = hyper::upgrade::on(&mut request);
    tokio::spawn(upgrade::bridge(stream, theirs, client, place));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    forward::set_upgrade(response.headers_mut(), HeaderValue::from_static("tcp"));
    Ok(response)
}

fn refused(home: &Home, error: &DialError) -> ApiError {
    let (id, port) = (home.id(), home.port());
    match error {
        DialError::Refused(_) | DialError::Timeout(_) => {
            ApiError::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
        error => {
            let error = error as &dyn Error;
            tracing::warn!(sandbox = %id, port = port.get(), error, "a connection to a port cannot be had");
            let message = format!("sandbox {id} gives no connection to port {port}");
            ApiError::new(StatusCode::BAD_GATEWAY, message)
        }
    }
}
