//! `GET …/commands/{command}/wait`: answers when it is over, or after `timeout_ms`.

use super::{ids_of, one, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::query::Query;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use soulbox_control::SandboxCommand;
use std::time::Duration;

/// How long is waited if nobody says: nobody lives to see it end.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    timeout_ms: Option<u64>,
}

pub(super) async fn wait(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
    Query(options): Query<Options>,
) -> Result<Response, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let limit = options.timeout_ms.map_or(FOREVER, Duration::from_millis);
    let command = SandboxCommand::WaitCommand(sandbox, command, limit.min(FOREVER));
    let record = one(gateway.control.execute(&team, command).await?)?;
    Ok(axum::Json(view::Command::from(&record)).into_response())
}
