//! The time of a sandbox.

use super::{id_of, seconds};
use crate::auth::Team;
use crate::body::{Json, MaybeJson};
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::SandboxCommand;
use std::time::Duration;

/// What a refresh gives that names no time.
const REFRESH: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
pub(crate) struct Timeout {
    timeout: i64,
}

/// Sets the time that is left, which may be less than there was; 0 ends it at once.
pub(crate) async fn set(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    Json(asked): Json<Timeout>,
) -> Result<StatusCode, ApiError> {
    let timeout = seconds("timeout", asked.timeout)?;
    let command = SandboxCommand::SetTimeout(id_of(&id)?, timeout);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refresh {
    duration: Option<i64>,
}

/// Extends the time; never shortens it.
pub(crate) async fn refresh(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    MaybeJson(asked): MaybeJson<Refresh>,
) -> Result<StatusCode, ApiError> {
    let duration = match asked.and_then(|asked| asked.duration) {
        Some(given) => seconds("duration", given)?,
        None => REFRESH,
    };
    let command = SandboxCommand::Extend(id_of(&id)?, duration);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
