//! Connecting to a sandbox, which resumes a paused one.

use super::{id_of, one, seconds, view};
use crate::auth::Team;
use crate::body::MaybeJson;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::{SandboxCommand, SandboxReply};
use std::time::Duration;

/// The time that the oldest way to resume gives.
const RESUME: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Connect {
    timeout: Option<i64>,
    memory: Option<bool>,
}

/// The first generation: the time must be given.
pub(crate) async fn v1(
    state: State<Gateway>,
    team: Team,
    path: Path<String>,
    MaybeJson(asked): MaybeJson<Connect>,
) -> Result<Response, ApiError> {
    let asked = asked.unwrap_or_default();
    if asked.timeout.is_none() {
        return Err(ApiError::bad("timeout: it is missing"));
    }
    connect(state, team, path, asked, Duration::ZERO).await
}

pub(crate) async fn v2(
    state: State<Gateway>,
    team: Team,
    path: Path<String>,
    MaybeJson(asked): MaybeJson<Connect>,
) -> Result<Response, ApiError> {
    let timeout = state.control.settings().server.timeout;
    connect(state, team, path, asked.unwrap_or_default(), timeout).await
}

/// The oldest way: one that runs is no conflict to clients that still use it, but E2B says so.
pub(crate) async fn resume(
    state: State<Gateway>,
    team: Team,
    path: Path<String>,
    MaybeJson(asked): MaybeJson<Connect>,
) -> Result<Response, ApiError> {
    let id = path.0.clone();
    let answer = connect(state, team, path, asked.unwrap_or_default(), RESUME).await?;
    match answer.status() {
        StatusCode::OK => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("sandbox {} is running", id_of(&id)?),
        )),
        _ => Ok(answer),
    }
}

async fn connect(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    asked: Connect,
    timeout: Duration,
) -> Result<Response, ApiError> {
    if asked.memory == Some(false) {
        return Err(ApiError::not_built(
            "memory: starting a paused sandbox anew from its files is not built",
        ));
    }
    let timeout = match asked.timeout {
        Some(given) => seconds("timeout", given)?,
        None => timeout,
    };
    let command = SandboxCommand::Connect(id_of(&id)?, timeout);
    let reply = gateway.control.execute(&team, command).await?;
    let status = match reply {
        SandboxReply::Resumed(_) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let view = one(reply)?;
    let body = axum::Json(view::sandbox(&gateway, &view));
    Ok((status, view::headers(&gateway, &view), body).into_response())
}
