//! Tags: which build of a template a name with one leads to.

use crate::auth::Team;
use crate::body;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// Tags that shall lead to a build.
#[derive(Debug, Deserialize)]
pub(super) struct NewTags {
    /// `name:tag`, or `name:<build id>`.
    target: String,
    tags: Vec<String>,
}

pub(super) async fn put(
    State(gateway): State<Gateway>,
    Team(team): Team,
    body::Json(asked): body::Json<NewTags>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let tagged = gateway
        .control
        .tag_template(&team, &asked.target, &asked.tags);
    let (build, tags) = tagged.await?;
    let told = json!({ "tags": tags, "buildID": build });
    Ok((StatusCode::CREATED, Json(told)))
}

/// Tags that shall go.
#[derive(Debug, Deserialize)]
pub(super) struct OldTags {
    name: String,
    tags: Vec<String>,
}

pub(super) async fn remove(
    State(gateway): State<Gateway>,
    Team(team): Team,
    body::Json(asked): body::Json<OldTags>,
) -> Result<StatusCode, ApiError> {
    let (name, tags) = (&asked.name, &asked.tags);
    gateway.control.untag_template(&team, name, tags).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let tags = gateway.control.tags_of(&team, &id)?;
    let told = tags.into_iter().map(
        |(tag, to)| json!({ "tag": tag, "buildID": to.build, "createdAt": to.at.to_string() }),
    );
    Ok(Json(told.collect()))
}
