//! `POST …/commands/{command}/stdin`: the body is its input; `?close=true` ends that.

use super::ids_of;
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::query::Query;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use soulbox_control::ControlError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    close: bool,
}

pub(super) async fn write(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
    Query(options): Query<Options>,
    mut body: Body,
) -> Result<StatusCode, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let input = gateway.control.command_input(&team, &sandbox, &command);
    let mut input = input.await?;
    let limit = gateway.control.settings().server.body_timeout;
    let mut wrote = false;
    loop {
        let frame = tokio::time::timeout(limit, body.frame()).await;
        let frame = frame.map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body stood still for {limit:?}; what came before was written"),
            )
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ApiError::bad(format!("the body broke off: {error}")))?;
        if let Ok(bytes) = frame.into_data() {
            input.write(&bytes).await?;
            wrote |= !bytes.is_empty();
        }
    }
    match input.finish(options.close).await {
        // It took all there was and ended: there is nothing left to close.
        Err(ControlError::CommandState { .. }) if wrote => {}
        finished => finished?,
    }
    Ok(StatusCode::NO_CONTENT)
}
