//! What a sandbox has used, and its processes, by the host's own means.

use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::sandboxes::{id_of, unexpected};
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use soulbox_control::{SandboxCommand, SandboxReply};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/sandboxes/{id}/usage", get(usage))
        .route("/v1/sandboxes/{id}/processes", delete(kill))
}

/// What it has used so far; times in microseconds, sizes in bytes.
async fn usage(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let command = SandboxCommand::Usage(id_of(&id)?);
    let reply = gateway.control.execute(&team, command).await?;
    let SandboxReply::Usage(used) = reply else {
        return Err(unexpected());
    };
    let kill = used
        .memory_kill
        .map(|kill| json!({ "process": kill.process, "heldBytes": kill.held.bytes() }));
    Ok(Json(json!({
        "cpuUs": u64::try_from(used.usage.cpu.as_micros()).unwrap_or(u64::MAX),
        "peakMemoryBytes": used.usage.peak_memory.bytes(),
        "oomKills": used.usage.oom_kills,
        "diskFull": used.disk_full,
        "memoryKill": kill,
    })))
}

/// Kills every process in it but the first, without the help of anything inside.
async fn kill(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let command = SandboxCommand::KillProcesses(id_of(&id)?);
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
