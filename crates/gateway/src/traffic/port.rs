//! A sandbox's own ports: whatever listens there gets the request as it is, and the answer goes back as it
//! comes. Neither body is held back.
//!
//! A request is sent once. When a kept connection turns out to be over before a byte of the request was
//! written, a new one takes it; what may have been sent is never sent again.
//!
//! | What | File |
//! |---|---|
//! | one connection to a port | [`link`] |
//! | connections that are kept, and how many there may be | [`kept`] |
//! | the body of an answer, and whether its end is its end | [`answer`] |
//! | what follows a change of protocol | [`upgrade`] |
//! | a connection without HTTP | [`tcp`] |

mod answer;
pub(crate) mod kept;
mod link;
pub(crate) mod tcp;
mod upgrade;

use super::forward::{self, TRAFFIC_TOKEN};
use super::refuse::{self, Reader, Refusal};
use crate::body::Stalling;
use crate::client::Client;
use crate::door::Gateway;
use crate::drained::Drained;
use answer::PortBody;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use hyper::body::Incoming;
use kept::Home;
use link::{Link, LinkError};
use soulbox_control::Live;
use soulbox_control::token::Purpose;
use soulbox_model::{SandboxRecord, SandboxState};
use soulbox_runtime::agent_client::DialError;
use std::error::Error;
use std::num::NonZeroU16;
use std::sync::Arc;

/// Why a request got no answer of the server in the sandbox.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// There was no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke when some of the request may have been sent.
    #[error("the server hung up")]
    Broken(#[source] hyper::Error),
    /// The connection was over before anything was sent.
    #[error("the server accepted the connection and hung up")]
    HungUp,
    /// The sandbox has as many connections as it may.
    #[error("the sandbox has too many connections")]
    Full,
}

/// Whether a request brings what a sandbox's own ports want: its traffic token, if its owner wanted that.
pub(super) fn admit(
    gateway: &Gateway,
    live: &Live,
    port: NonZeroU16,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let Some(id) = live.look(|record| record.private_traffic.then(|| record.id.clone())) else {
        return Ok(());
    };
    let message = match headers.get(TRAFFIC_TOKEN) {
        None => {
            "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing"
        }
        Some(given) => {
            let given = given.to_str().unwrap_or_default();
            if gateway
                .control
                .secret()
                .accepts(Purpose::Traffic, &id, given)
            {
                return Ok(());
            }
            "Sandbox is secured with traffic access token. Provided traffic access token is invalid"
        }
    };
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        &id,
        port.get(),
        message,
    ))
}

/// Passes a request to what listens on a port of a sandbox.
pub(super) async fn serve(
    gateway: &Gateway,
    live: Arc<Live>,
    port: NonZeroU16,
    mut request: Request<Incoming>,
) -> Response {
    let home = Home::new(&gateway.ports, live, port);
    if !forward::is_passable(request.method()) {
        let message = "The method CONNECT is not passed on";
        let refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            home.id(),
            port.get(),
            message,
        );
        return refusal.json();
    }
    let Some(client) = request.extensions_mut().remove::<Client>() else {
        return refuse::not_found(home.id()).json();
    };
    // Kept for a refusal only: what a browser's own navigation looks like.
    let asked = Reader::of(request.headers());
    let upgrade = forward::upgrade(request.version(), request.headers());
    let theirs = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    forward::to_port(
        &mut parts,
        &client,
        home.live().look(|record| masked(record, port)),
    );
    let stall = gateway.control.settings().server.body_timeout;
    let body = Stalling::new(Drained::new(body), stall);
    let fault = body.fault();
    let request = Request::from_parts(parts, body);
    match pass(&home, request).await {
        Ok((link, mut response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let protocol = forward::upgrade(Version::HTTP_11, response.headers());
            let (Some(theirs), Some(protocol)) = (theirs, protocol) else {
                return broken(&home, asked);
            };
            tokio::spawn(upgrade::join(link, theirs, client));
            forward::strip(response.headers_mut());
            forward::set_upgrade(response.headers_mut(), protocol);
            response.map(|_| Body::empty())
        }
        Ok((link, response)) => answered(home, link, response),
        Err(error) => match fault.told() {
            Some(told) => told.into_response(),
            None => refused(&home, asked, &error),
        },
    }
}

/// The name that the server is told instead of the one that the client used.
fn masked(record: &SandboxRecord, port: NonZeroU16) -> Option<HeaderValue> {
    let mask = record.mask_host.as_ref()?;
    let host = mask.replace("${PORT}", &port.to_string());
    HeaderValue::from_str(&host).ok()
}

/// Sends a request and waits for the head of the answer, for as long as that takes.
async fn pass(
    home: &Home,
    mut request: Request<Stalling>,
) -> Result<(Link, Response<Incoming>), PassError> {
    while let Some(mut link) = home.take() {
        match link.send(request).await {
            Ok(response) => return Ok((link, response)),
            Err(LinkError::Unsent(unsent)) => request = *unsent,
            Err(LinkError::Broken(error)) => return Err(PassError::Broken(error)),
        }
    }
    let place = home.place().ok_or(PassError::Full)?;
    let stream = home.live().agent().dial(home.port()).await?;
    let mut link = Link::new(stream, place).await.map_err(PassError::Broken)?;
    match link.send(request).await {
        Ok(response) => Ok((link, response)),
        Err(LinkError::Broken(error)) => Err(PassError::Broken(error)),
        // It was over as soon as it stood: whoever accepted it hung up.
        Err(LinkError::Unsent(_)) => Err(PassError::HungUp),
    }
}

fn answered(home: Home, link: Link, response: Response<Incoming>) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = PortBody::new(home, link, body, &parts.headers);
    forward::strip(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::new(body))
}

fn refused(home: &Home, asked: Reader, error: &PassError) -> Response {
    let id = home.id();
    // A sandbox that ends or is paused meanwhile fails in many ways, and all mean the same.
    let runs = home
        .live()
        .look(|record| record.state == SandboxState::Running);
    if !runs {
        return refuse::not_found(id).to(asked);
    }
    let port = home.port().get();
    let refusal = |status, message| Refusal::new(status, id, port, message).to(asked);
    match error {
        PassError::Dial(DialError::Refused(_)) => refuse::closed(id, port).to(asked),
        PassError::Dial(DialError::Timeout(_)) => refusal(
            StatusCode::GATEWAY_TIMEOUT,
            "The server on this port did not accept a connection in time",
        ),
        PassError::Dial(error) => {
            let error = error as &dyn Error;
            tracing::warn!(sandbox = %id, port, error, "a connection to a port cannot be had");
            refusal(
                StatusCode::BAD_GATEWAY,
                "The sandbox is running but gives no connection to this port",
            )
        }
        PassError::Full => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "The sandbox has as many connections as it may have at once",
        ),
        PassError::HungUp => broken(home, asked),
        PassError::Broken(error) => {
            let error = error as &dyn Error;
            tracing::debug!(sandbox = %id, port, error, "a server in a sandbox hung up");
            broken(home, asked)
        }
    }
}

fn broken(home: &Home, asked: Reader) -> Response {
    let message = "The server on this port gave no answer that can be passed on";
    let port = home.port().get();
    Refusal::new(StatusCode::BAD_GATEWAY, home.id(), port, message).to(asked)
}
