//! Sandboxes: one file for each verb.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod list;
mod logs;
mod metrics;
pub(crate) mod network;
pub(crate) mod pause;
pub(crate) mod timeout;
mod view;

use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use soulbox_control::{ControlError, SandboxCommand, SandboxReply, SandboxView};
use soulbox_model::SandboxId;
use std::time::Duration;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/sandboxes", post(create::v1).get(list::running))
        .route("/v2/sandboxes", post(create::v2).get(list::v2))
        .route("/sandboxes/metrics", get(metrics::several))
        .route("/sandboxes/{id}/metrics", get(metrics::one))
        .route("/sandboxes/{id}/logs", get(logs::v1))
        .route("/v2/sandboxes/{id}/logs", get(logs::v2))
        .route("/sandboxes/{id}", get(inspect).delete(kill))
        .route("/sandboxes/{id}/timeout", post(timeout::set))
        .route("/sandboxes/{id}/refreshes", post(timeout::refresh))
        .route("/sandboxes/{id}/connect", post(connect::v1))
        .route("/v2/sandboxes/{id}/connect", post(connect::v2))
        .route("/sandboxes/{id}/pause", post(pause::pause))
        .route("/sandboxes/{id}/resume", post(connect::resume))
        .route("/sandboxes/{id}/network", put(network::set))
}

/// The id in a path. One that cannot be is one that is not there.
pub(crate) fn id_of(text: &str) -> Result<SandboxId, ApiError> {
    // Older clients append the id of a client after a dash.
    let id = text.split('-').next().unwrap_or_default();
    id.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        ControlError::NoSandbox(shown).into()
    })
}

/// Seconds as clients send them.
fn seconds(field: &'static str, seconds: i64) -> Result<Duration, ApiError> {
    let seconds = u64::try_from(seconds)
        .map_err(|_| ApiError::bad(format!("{field}: {seconds} is less than 0")))?;
    Ok(Duration::from_secs(seconds))
}

async fn inspect(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = SandboxCommand::Get(id_of(&id)?);
    let reply = gateway.control.execute(&team, command).await?;
    let view = one(reply)?;
    let body = view::detail(&gateway, &view);
    Ok((view::headers(&gateway, &view), Json(body)).into_response())
}

async fn kill(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let command = SandboxCommand::Kill(id_of(&id)?);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The one sandbox of a reply.
fn one(reply: SandboxReply) -> Result<SandboxView, ApiError> {
    match reply {
        SandboxReply::Sandbox(view) | SandboxReply::Resumed(view) => Ok(*view),
        _ => Err(unexpected()),
    }
}

/// An answer to another question: a fault of ours.
pub(crate) fn unexpected() -> ApiError {
    tracing::error!("an answer to another question");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "an answer to another question",
    )
}
