//! The log of a sandbox: what happened to it. Kept after its end.

use super::{id_of, unexpected};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::query::Query;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use soulbox_control::{Happened, SandboxCommand, SandboxReply};
use soulbox_model::{EndCause, Event, EventKind, TeamId};
use std::collections::BTreeMap;

/// How many entries are told when nobody says how many, and at the most; as E2B's.
const MOST: u64 = 1000;
/// The last millisecond that can be asked for: the end of the year 9999.
const LAST: u64 = 253_402_300_799_999;

/// How much an entry matters, in E2B's words, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn parse(word: &str) -> Result<Self, ApiError> {
        match word {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(ApiError::bad(
                "level: it is none of debug, info, warn, error",
            )),
        }
    }

    fn of(event: &Event) -> Self {
        match (event.kind, event.cause) {
            (EventKind::ProcessOutOfMemory, _) => Self::Warn,
            (EventKind::Ended, Some(EndCause::Killed | EndCause::Expired)) => Self::Info,
            (EventKind::Ended, Some(EndCause::ServerStopped)) => Self::Warn,
            (EventKind::Ended, _) => Self::Error,
            _ => Self::Info,
        }
    }
}

/// A line of the first generation: JSON as text, which E2B's command line reads.
#[derive(Serialize)]
pub(crate) struct Line {
    timestamp: String,
    line: String,
}

/// Who tells the lines of the first generation.
const LOGGER: &str = "sandbox";

/// An entry.
#[derive(Serialize)]
pub(crate) struct Entry {
    timestamp: String,
    message: String,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

/// What the first generation of paths answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct V1 {
    logs: Vec<Line>,
    log_entries: Vec<Entry>,
}

/// What the second one answers.
#[derive(Serialize)]
pub(crate) struct V2 {
    logs: Vec<Entry>,
}

/// From `start` in milliseconds since 1970, the oldest first.
pub(crate) async fn v1(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<V1>, ApiError> {
    let start = query.number("start", 0..=LAST)?.unwrap_or(0);
    let limit = limit(&query)?;
    let mut events = read(&gateway, &team, &id).await?;
    events.retain(|happened| happened.event.at.as_millis() >= start);
    events.truncate(limit);
    Ok(Json(V1 {
        logs: events.iter().map(line).collect(),
        log_entries: events.iter().map(entry).collect(),
    }))
}

/// From `cursor` in milliseconds since 1970 in a `direction`, of a `level` and above, with `search` in
/// them.
pub(crate) async fn v2(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<V2>, ApiError> {
    let cursor = query.number("cursor", 0..=LAST)?;
    let backward = match query.word("direction")? {
        None | Some("forward") => false,
        Some("backward") => true,
        Some(_) => {
            return Err(ApiError::bad(
                "direction: it is neither forward nor backward",
            ));
        }
    };
    let level = query.word("level")?.map(Level::parse).transpose()?;
    let search = query.word("search")?;
    let limit = limit(&query)?;
    let mut events = read(&gateway, &team, &id).await?;
    if backward {
        events.reverse();
    }
    events.retain(|Happened { event, .. }| {
        let at = event.at.as_millis();
        let behind = cursor.is_none_or(|cursor| if backward { at <= cursor } else { at >= cursor });
        behind
            && level.is_none_or(|level| Level::of(event) >= level)
            && search.is_none_or(|search| in_words(event).contains(search))
    });
    events.truncate(limit);
    Ok(Json(V2 {
        logs: events.iter().map(entry).collect(),
    }))
}

fn limit(query: &Query) -> Result<usize, ApiError> {
    let limit = query.number("limit", 0..=MOST)?.unwrap_or(MOST);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

async fn read(gateway: &Gateway, team: &TeamId, id: &str) -> Result<Vec<Happened>, ApiError> {
    let command = SandboxCommand::Events(id_of(id)?);
    match gateway.control.execute(team, command).await? {
        SandboxReply::Events(events) => Ok(events),
        _ => Err(unexpected()),
    }
}

fn line(happened: &Happened) -> Line {
    let Entry {
        timestamp,
        message,
        level,
        fields,
    } = entry(happened);
    let mut line = serde_json::json!({ "level": level, "logger": LOGGER, "message": message });
    for (name, value) in fields {
        line[name] = value.into();
    }
    Line {
        timestamp,
        line: line.to_string(),
    }
}

fn entry(happened: &Happened) -> Entry {
    let event = &happened.event;
    let mut fields = BTreeMap::from([("kind", event.kind.as_str().to_owned())]);
    if let Some(cause) = event.cause {
        fields.insert("cause", cause.as_str().to_owned());
    }
    Entry {
        timestamp: event.at.to_string(),
        message: in_words(event),
        level: Level::of(event),
        fields,
    }
}

fn in_words(event: &Event) -> String {
    let what = match (event.kind, event.cause) {
        (EventKind::Created, _) => "sandbox created".to_owned(),
        (EventKind::TimeoutSet, _) => "time set".to_owned(),
        (EventKind::Paused, _) => "sandbox paused".to_owned(),
        (EventKind::Resumed, _) => "sandbox resumed".to_owned(),
        (EventKind::NetworkSet, _) => "network rules changed".to_owned(),
        (EventKind::Adopted, _) => "sandbox taken over by another server process".to_owned(),
        (EventKind::ProcessOutOfMemory, _) => "out of memory".to_owned(),
        (EventKind::Ended, Some(cause)) => {
            format!("sandbox ended ({})", cause.as_str().replace('_', " "))
        }
        (EventKind::Ended, None) => "sandbox ended".to_owned(),
    };
    match event.detail.is_empty() {
        true => what,
        false => format!("{what}: {}", event.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::Moment;

    #[test]
    fn an_end_says_why_and_how_bad_it_is() {
        let end = |cause| Event {
            at: Moment::from_millis(1000),
            kind: EventKind::Ended,
            cause: Some(cause),
            detail: "Linux killed python3".to_owned(),
        };
        let event = end(EndCause::OutOfMemory);
        assert_eq!(
            in_words(&event),
            "sandbox ended (out of memory): Linux killed python3"
        );
        assert_eq!(Level::of(&event), Level::Error);
        assert_eq!(Level::of(&end(EndCause::Expired)), Level::Info);
        assert!(Level::parse("loud").is_err() && Level::Warn < Level::Error);
    }
}
