//! `GET /v1/sandboxes/{sandbox}/commands`, and one of them.

use super::{ids_of, one, sandbox_of, unexpected, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use soulbox_control::{SandboxCommand, SandboxReply};

#[derive(Serialize)]
struct All<'a> {
    commands: Vec<view::Command<'a>>,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(sandbox): Path<String>,
) -> Result<Response, ApiError> {
    let command = SandboxCommand::ListCommands(sandbox_of(&sandbox)?);
    let records = match gateway.control.execute(&team, command).await? {
        SandboxReply::Commands(records) => records,
        other => return Err(unexpected(&other)),
    };
    let commands = records.iter().map(view::Command::from).collect();
    Ok(axum::Json(All { commands }).into_response())
}

pub(super) async fn get(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let command = SandboxCommand::GetCommand(sandbox, command);
    let record = one(gateway.control.execute(&team, command).await?)?;
    Ok(axum::Json(view::Command::from(&record)).into_response())
}
