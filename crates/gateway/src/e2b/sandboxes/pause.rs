//! Pausing a sandbox.

use super::id_of;
use crate::auth::Team;
use crate::body::MaybeJson;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::SandboxCommand;

#[derive(Debug, Deserialize)]
pub(crate) struct Pause {
    memory: Option<bool>,
}

/// Pauses it with everything in memory. One that is paused is a conflict.
pub(crate) async fn pause(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    MaybeJson(asked): MaybeJson<Pause>,
) -> Result<StatusCode, ApiError> {
    if asked.is_some_and(|asked| asked.memory == Some(false)) {
        return Err(ApiError::not_built(
            "memory: pauses that keep files only are not built; leave it out to keep the memory",
        ));
    }
    let command = SandboxCommand::Pause(id_of(&id)?);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
