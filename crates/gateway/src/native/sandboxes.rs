//! Sandboxes, with what they use and how they ended.

use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::unexpected;
use crate::error::ApiError;
use crate::query::Query;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use soulbox_control::list::{Cursor, ListQuery};
use soulbox_control::{Sample, SandboxCommand, SandboxReply};
use soulbox_model::{SandboxId, SandboxRecord, TeamId};
use std::collections::HashMap;

/// How many ended ones are told when nobody says how many.
const ENDED: usize = 50;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/sandboxes", get(list))
}

/// Those that live, a page at a time, or those that ended last.
async fn list(
    State(gateway): State<Gateway>,
    Team(team): Team,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    match query.word("state")? {
        None | Some("live") => live(&gateway, &team, &query).await,
        Some("ended") => {
            let most = soulbox_control::look::MOST_ENDED;
            let limit = query.number("limit", 1..=most as u64)?;
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            let command = SandboxCommand::Ended(limit.unwrap_or(ENDED));
            let SandboxReply::Ended(records) = gateway.control.execute(&team, command).await?
            else {
                return Err(unexpected());
            };
            let told: Vec<_> = records.iter().map(|record| tell(record, None)).collect();
            Ok(Json(json!({ "sandboxes": told })))
        }
        Some(_) => Err(ApiError::bad("state: it is neither live nor ended")),
    }
}

async fn live(gateway: &Gateway, team: &TeamId, query: &Query) -> Result<Json<Value>, ApiError> {
    let limit = query.number("limit", 1..=ListQuery::MOST as u64)?;
    let listed = ListQuery {
        limit: limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(ListQuery::MOST),
        after: query.word("nextToken")?.map(Cursor::parse).transpose()?,
        ..ListQuery::default()
    };
    let control = &gateway.control;
    let reply = control.execute(team, SandboxCommand::List(listed)).await?;
    let SandboxReply::Page(page) = reply else {
        return Err(unexpected());
    };
    let ids = page.sandboxes.iter().map(|view| view.record.id.clone());
    let command = SandboxCommand::Latest(ids.collect());
    let SandboxReply::Latest(latest) = control.execute(team, command).await? else {
        return Err(unexpected());
    };
    let latest: HashMap<SandboxId, Sample> = latest.into_iter().collect();
    let told: Vec<_> = page
        .sandboxes
        .iter()
        .map(|view| tell(&view.record, latest.get(&view.record.id)))
        .collect();
    let next = page.next.map(|next| next.to_text());
    Ok(Json(json!({ "sandboxes": told, "nextToken": next })))
}

/// A record in words. Absent: what is not known, or does not apply.
fn tell(record: &SandboxRecord, sample: Option<&Sample>) -> Value {
    let mut told = json!({
        "sandboxID": record.id,
        "template": record.template,
        "state": record.state,
        "startedAt": record.started_at.to_string(),
        "endAt": record.end_at.to_string(),
        "onTimeout": record.lifecycle.on_timeout,
        "isolation": record.isolation,
        "cpuMillis": record.limits.cpu_millis,
        "memoryBytes": record.limits.memory_max.bytes(),
        "diskBytes": record.limits.disk.bytes(),
        "metadata": record.metadata,
    });
    if let Some(sample) = sample {
        told["usage"] = json!({
            "timestamp": sample.at.to_string(),
            "cpuUsedPct": sample.cpu_used_pct,
            "memoryBytes": sample.memory,
            "cacheBytes": sample.cache,
            "diskBytes": sample.disk,
        });
    }
    if let Some(end) = &record.ended {
        told["ended"] = json!({
            "at": end.at.to_string(), "cause": end.cause, "detail": end.detail,
        });
    }
    told
}
