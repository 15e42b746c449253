//! A port of a sandbox, byte for byte: `GET /v1/sandboxes/{id}/tcp/{port}` with `Upgrade: tcp`. What follows
//! the answer 101 is the connection itself.

use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::sandboxes::id_of;
use crate::error::ApiError;
use crate::traffic::port::tcp;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};
use soulbox_control::{ControlError, SandboxCommand};
use std::num::NonZeroU16;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/sandboxes/{id}/tcp/{port}", get(open))
}

async fn open(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path((id, port)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let port: NonZeroU16 = port
        .parse()
        .map_err(|_| ApiError::bad("port: it must be 1 to 65535"))?;
    if !asks_for_tcp(request.headers()) {
        return Err(ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "this is a connection to a port: send the headers Connection: upgrade and Upgrade: tcp",
        ));
    }
    let control = &gateway.control;
    // Whether it is one of the team's.
    control
        .execute(&team, SandboxCommand::Get(id.clone()))
        .await?;
    let live = control.find(&id);
    let live = live.ok_or_else(|| ControlError::NoSandbox(id.to_string()))?;
    control.wake(&live).await?;
    tcp::open(&gateway, live, port, request).await
}

fn asks_for_tcp(headers: &HeaderMap) -> bool {
    let holds = |name: HeaderName, word: &str| {
        let values = headers.get_all(name);
        let mut words = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        words.any(|given| given.trim().eq_ignore_ascii_case(word))
    };
    holds(CONNECTION, "upgrade") && holds(UPGRADE, "tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_is_none() {
        let asks = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            });
            asks_for_tcp(&pairs.collect())
        };
        assert!(asks(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "TCP")
        ]));
        assert!(!asks(&[
            ("connection", "upgrade"),
            ("upgrade", "websocket")
        ]));
        assert!(!asks(&[("upgrade", "tcp")]));
        assert!(!asks(&[]));
    }
}
