//! A build: begun, started, ended.

use super::{steps, view};
use crate::auth::Team;
use crate::body;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use soulbox_control::templates::begin::NewBuild;
use soulbox_model::ByteSize;

/// A template of which a build is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewTemplate {
    name: Option<String>,
    /// What older clients call it.
    alias: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    cpu_count: Option<u32>,
    #[serde(rename = "memoryMB")]
    memory_mb: Option<u64>,
}

pub(super) async fn begin(
    State(gateway): State<Gateway>,
    Team(team): Team,
    body::Json(asked): body::Json<NewTemplate>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let name = asked.name.or(asked.alias);
    let asked = NewBuild {
        name: name.ok_or_else(|| ApiError::bad("name: it is missing"))?,
        tags: asked.tags,
        cpus: asked.cpu_count,
        memory: asked
            .memory_mb
            .map(|mib| ByteSize(mib.saturating_mul(1 << 20))),
    };
    let begun = gateway.control.begin_build(&team, asked).await?;
    let told = json!({
        "templateID": begun.template,
        "buildID": begun.build,
        "public": begun.public,
        "names": [view::full_name(&begun.team, &begun.name)],
        "aliases": [begun.name],
        "tags": begun.tags,
    });
    Ok((StatusCode::ACCEPTED, Json(told)))
}

pub(super) async fn start(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path((template, build)): Path<(String, String)>,
    body::Json(asked): body::Json<steps::Start>,
) -> Result<StatusCode, ApiError> {
    let control = &gateway.control;
    let wanted = steps::wanted(asked, |name| control.template(&team, name).ok())?;
    let build = (template.as_str(), build.as_str());
    control.start_build(&team, build, wanted).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Ours: ends a build.
pub(super) async fn cancel(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path((template, build)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let cancelled = gateway.control.cancel_build(&team, &template, &build);
    cancelled.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For fuzzing: what the reader of a build says.
#[cfg(fuzzing)]
pub(crate) fn fuzz(body: &[u8]) -> Result<(), ApiError> {
    let asked: steps::Start = body::parse(body)?;
    let wanted = steps::wanted(asked, |name| name.parse().ok())?;
    assert!(wanted.before + wanted.steps <= wanted.plan.stages[0].steps.len());
    Ok(())
}
