//! Where a build stands, and what it tells.

use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::query::Query;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use soulbox_control::templates::log::{BuildLine, Level, LogQuery};

/// The most entries of an answer, and how many it has when nothing is said.
const MOST: u64 = 100;

/// Clients ask until nothing new is told, so entries are counted exactly.
pub(super) async fn status(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path((template, build)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let wanted = wanted(&query, "logsOffset")?;
    let control = &gateway.control;
    // What is read afterwards has all that was told before it stood there.
    let (entry, build) = control.build_of(&team, &template, &build)?;
    let lines = control.build_log(&build.id, wanted).await?;
    let messages: Vec<_> = lines.iter().map(|line| &line.message).collect();
    let mut told = json!({
        "templateID": entry.id,
        "buildID": build.id,
        "status": build.status.as_str(),
        "logs": messages,
        "logEntries": lines.iter().map(tell).collect::<Vec<_>>(),
    });
    if let Some(reason) = &build.reason {
        told["reason"] = json!({ "message": reason.message });
        if let Some(step) = &reason.step {
            told["reason"]["step"] = json!(step);
        }
    }
    Ok(Json(told))
}

/// The entries alone, from a number on.
pub(super) async fn logs(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path((template, build)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    let wanted = wanted(&query, "cursor")?;
    let (_, build) = gateway.control.build_of(&team, &template, &build)?;
    let lines = gateway.control.build_log(&build.id, wanted).await?;
    let told: Vec<_> = lines.iter().map(tell).collect();
    Ok(Json(json!({ "logs": told })))
}

fn wanted(query: &Query, offset: &str) -> Result<LogQuery, ApiError> {
    let size = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let level = match query.word("level")? {
        None | Some("debug") => Level::Debug,
        Some("info") => Level::Info,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some(_) => {
            return Err(ApiError::bad(
                "level: it is none of debug, info, warn and error",
            ));
        }
    };
    Ok(LogQuery {
        offset: size(query.number(offset, 0..=u64::from(u32::MAX))?).unwrap_or_default(),
        limit: size(query.number("limit", 0..=MOST)?.or(Some(MOST))).unwrap_or_default(),
        level,
    })
}

fn tell(line: &BuildLine) -> Value {
    let mut told = json!({
        "timestamp": line.at.to_string(),
        "level": line.level,
        "message": line.message,
    });
    if let Some(step) = &line.step {
        told["step"] = json!(step);
    }
    told
}
