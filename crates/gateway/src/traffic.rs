//! Requests to a sandbox.
//!
//! | What | File |
//! |---|---|
//! | which sandbox and port a request names | [`target`] |
//! | the agent's own port | `agent` |
//! | signed URLs of files | [`signature`] |
//! | why not | `refuse` |

mod agent;
mod refuse;
pub(crate) mod signature;
pub(crate) mod target;

use crate::door::Gateway;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use soulbox_control::ControlError;
use target::Target;

/// The port on which an envd listens; the agent serves it over its socket.
pub(crate) const AGENT_PORT: u16 = 49983;

/// Passes a request to the sandbox that it names.
pub(crate) async fn serve(
    gateway: &Gateway,
    target: Target,
    request: Request<Incoming>,
) -> Response {
    let Some(live) = gateway.control.find(&target.id) else {
        return refuse::not_found(&target.id);
    };
    match gateway.control.wake(&live).await {
        Ok(()) => {}
        Err(ControlError::State { .. } | ControlError::Ended(_) | ControlError::NoSandbox(_)) => {
            return refuse::not_found(&target.id);
        }
        Err(error) => return refuse::failed(error),
    }
    match target.port {
        AGENT_PORT => agent::serve(gateway, &live, request).await,
        port => refuse::closed(&target.id, port),
    }
}
