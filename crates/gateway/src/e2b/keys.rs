//! Keys of the programming interface. A key is told once, when it is made; afterwards there is only its hash.

use crate::auth::Team;
use crate::body::Json;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use soulbox_control::keys::KeyRecord;
use soulbox_model::ApiKey;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/api-keys", get(list).post(create))
        .route("/api-keys/{id}", delete(remove).patch(rename))
}

/// A key as it may be shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    name: String,
    mask: Mask,
    created_at: String,
    created_by: Option<()>,
    last_used: Option<()>,
    /// The key itself, when it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// What may be known of a key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mask {
    prefix: &'static str,
    value_length: usize,
    masked_value_prefix: String,
    masked_value_suffix: String,
}

/// Hexadecimal digits of a key of ours, after its prefix.
const DIGITS: usize = 40;

fn shown(record: &KeyRecord, key: Option<&ApiKey>) -> Shown {
    let (head, tail) = record.hint.split_once('…').unwrap_or_default();
    Shown {
        id: record.id.clone(),
        name: record.name.clone(),
        mask: Mask {
            prefix: ApiKey::PREFIX,
            value_length: DIGITS,
            masked_value_prefix: head.trim_start_matches(ApiKey::PREFIX).to_owned(),
            masked_value_suffix: tail.to_owned(),
        },
        created_at: record.created_at.to_string(),
        created_by: None,
        last_used: None,
        key: key.map(|key| key.reveal().to_owned()),
    }
}

async fn list(State(gateway): State<Gateway>, Team(team): Team) -> axum::Json<Vec<Shown>> {
    let keys = gateway.control.keys().list(&team);
    axum::Json(keys.iter().map(|key| shown(key, None)).collect())
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewKey {
    name: String,
}

async fn create(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<Shown>), ApiError> {
    let (key, record) = gateway.control.keys().create(&asked.name, &team).await?;
    Ok((StatusCode::CREATED, axum::Json(shown(&record, Some(&key)))))
}

async fn remove(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    match gateway.control.keys().remove(&team, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&id)),
    }
}

async fn rename(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    Json(asked): Json<NewKey>,
) -> Result<StatusCode, ApiError> {
    match gateway
        .control
        .keys()
        .rename(&team, &id, &asked.name)
        .await?
    {
        true => Ok(StatusCode::OK),
        false => Err(missing(&id)),
    }
}

fn missing(id: &str) -> ApiError {
    let shown: String = id.chars().take(80).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("key {shown:?} was not found"),
    )
}
