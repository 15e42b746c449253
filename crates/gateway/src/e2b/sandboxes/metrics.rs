//! What sandboxes use.

use super::{id_of, unexpected};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::query::Query;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use soulbox_control::{Sample, SandboxCommand, SandboxReply};
use soulbox_model::{Moment, SandboxId};
use std::collections::BTreeMap;

/// The most sandboxes that may be asked about at once; E2B's own bound.
const MOST: usize = 100;
/// The last second that can be asked for: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// A sample in E2B's words. Amounts are in bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metric {
    timestamp: String,
    timestamp_unix: u64,
    cpu_count: u32,
    cpu_used_pct: f32,
    mem_used: u64,
    mem_total: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
}

impl From<&Sample> for Metric {
    fn from(sample: &Sample) -> Self {
        Self {
            timestamp: sample.at.to_string(),
            timestamp_unix: sample.at.as_secs(),
            cpu_count: sample.cpu_millis.div_ceil(1000),
            cpu_used_pct: sample.cpu_used_pct,
            mem_used: sample.memory,
            mem_total: sample.memory_total,
            mem_cache: sample.cache,
            disk_used: sample.disk,
            disk_total: sample.disk_total,
        }
    }
}

/// Of one sandbox, from `start` to `end` in seconds since 1970, both included.
pub(crate) async fn one(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Vec<Metric>>, ApiError> {
    let from = query.number("start", 0..=LAST)?;
    let from = from.map(|second| Moment::from_millis(second * 1000));
    let to = query.number("end", 0..=LAST)?;
    let to = to.map(|second| Moment::from_millis(second * 1000 + 999));
    let command = SandboxCommand::Samples(id_of(&id)?, from, to);
    match gateway.control.execute(&team, command).await? {
        SandboxReply::Samples(samples) => Ok(Json(samples.iter().map(Metric::from).collect())),
        _ => Err(unexpected()),
    }
}

/// The newest sample of each.
#[derive(Serialize)]
pub(crate) struct Latest {
    sandboxes: BTreeMap<SandboxId, Metric>,
}

/// Of several sandboxes: those that are not there are left out.
pub(crate) async fn several(
    State(gateway): State<Gateway>,
    Team(team): Team,
    query: Query,
) -> Result<Json<Latest>, ApiError> {
    let wrong = |reason: String| ApiError::bad(format!("sandbox_ids: {reason}"));
    let ids = query.list("sandbox_ids");
    if ids.is_empty() || ids.len() > MOST {
        return Err(wrong(format!(
            "1 to {MOST} ids are taken, with commas between them"
        )));
    }
    let ids: Result<Vec<SandboxId>, _> = ids.iter().map(|id| id_of(id)).collect();
    let ids = ids.map_err(|_| wrong("one of them cannot be an id".to_owned()))?;
    match gateway
        .control
        .execute(&team, SandboxCommand::Latest(ids))
        .await?
    {
        SandboxReply::Latest(latest) => {
            let metrics = latest.iter();
            let sandboxes = metrics.map(|(id, sample)| (id.clone(), sample.into()));
            Ok(Json(Latest {
                sandboxes: sandboxes.collect(),
            }))
        }
        _ => Err(unexpected()),
    }
}
