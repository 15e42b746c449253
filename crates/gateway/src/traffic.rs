//! Requests to a sandbox.
//!
//! | What | File |
//! |---|---|
//! | which sandbox and port a request names | [`target`] |
//! | the agent's own port | `agent` |
//! | what of that is for the sandbox's log | [`commands`] |
//! | the port of its kernels, if it has any | `kernels` |
//! | all other ports | [`port`] |
//! | what a proxy changes of a head | `forward` |
//! | signed URLs of files | [`signature`] |
//! | why not | `refuse` |

mod agent;
pub(crate) mod commands;
pub(crate) mod forward;
mod kernels;
pub(crate) mod port;
mod refuse;
pub(crate) mod signature;
pub(crate) mod target;

use crate::cors;
use crate::door::Gateway;
use agent::Admitted;
use axum::response::{IntoResponse as _, Response};
use http::Request;
use hyper::body::Incoming;
use refuse::Reader;
use soulbox_control::ControlError;
use std::num::NonZeroU16;
use target::Target;

/// The port on which an envd listens; the agent serves it over its socket.
pub(crate) const AGENT_PORT: u16 = 49983;

/// Passes a request to the sandbox that it names.
pub(crate) async fn serve(
    gateway: &Gateway,
    target: Target,
    request: Request<Incoming>,
) -> Response {
    let reader = Reader::of(request.headers());
    let Some(live) = gateway.control.find(&target.id) else {
        return refuse::not_found(&target.id).to(reader);
    };
    let port = NonZeroU16::new(target.port).filter(|port| port.get() != AGENT_PORT);
    // Before it is woken: whoever may not come in does not wake it.
    match port {
        None => match agent::admit(gateway, &live, &request) {
            Err(error) => return error.into_response(),
            Ok(Admitted::Stranger) if !live.is_running() => {
                let preflight = cors::preflight(request.method(), request.headers());
                return preflight.unwrap_or_else(|| refuse::not_found(&target.id).to(reader));
            }
            Ok(_) => {}
        },
        Some(port) => {
            if let Err(refusal) = port::admit(gateway, &live, port, request.headers()) {
                return refusal.to(reader);
            }
        }
    }
    match gateway.control.wake(&live).await {
        Ok(()) => {}
        Err(ControlError::State { .. } | ControlError::Ended(_) | ControlError::NoSandbox(_)) => {
            return refuse::not_found(&target.id).to(reader);
        }
        Err(error) => return refuse::failed(error),
    }
    match port {
        None => agent::serve(gateway, &live, request).await,
        Some(port) => match kernels::are_at(port, &live).await {
            Ok(true) => kernels::serve(gateway, &live, request).await,
            Ok(false) => port::serve(gateway, live, port, request).await,
            Err(error) => agent::silent(&live, target.port, &error),
        },
    }
}
