//! The log of a sandbox: what happened to it, and which commands were started and ended. Kept after its end.

use super::{id_of, unexpected};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::query::Query;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use soulbox_control::{LogEntry, LogLine, SandboxCommand, SandboxReply};
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

    fn of(entry: &LogEntry) -> Self {
        match entry {
            LogEntry::Event(event) => Self::of_event(event),
            LogEntry::Command(line) => match line.end {
                None => Self::Info,
                Some(end) if end.exit_code == Some(0) => Self::Info,
                Some(_) => Self::Warn,
            },
        }
    }

    fn of_event(event: &Event) -> Self {
        match (event.kind, event.cause) {
            (EventKind::ProcessOutOfMemory, _) => Self::Warn,
            (EventKind::Ended, Some(EndCause::Killed | EndCause::Expired | EndCause::Finished)) => {
                Self::Info
            }
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
    let mut entries = read(&gateway, &team, &id).await?;
    entries.retain(|entry| entry.at().as_millis() >= start);
    entries.truncate(limit);
    Ok(Json(V1 {
        logs: entries.iter().map(line_of).collect(),
        log_entries: entries.iter().map(entry_of).collect(),
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
    let mut entries = read(&gateway, &team, &id).await?;
    if backward {
        entries.reverse();
    }
    entries.retain(|entry| {
        let at = entry.at().as_millis();
        let behind = cursor.is_none_or(|cursor| if backward { at <= cursor } else { at >= cursor });
        behind
            && level.is_none_or(|level| Level::of(entry) >= level)
            && search.is_none_or(|search| in_words(entry).contains(search))
    });
    entries.truncate(limit);
    Ok(Json(V2 {
        logs: entries.iter().map(entry_of).collect(),
    }))
}

fn limit(query: &Query) -> Result<usize, ApiError> {
    let limit = query.number("limit", 0..=MOST)?.unwrap_or(MOST);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

async fn read(gateway: &Gateway, team: &TeamId, id: &str) -> Result<Vec<LogEntry>, ApiError> {
    let command = SandboxCommand::Log(id_of(id)?);
    match gateway.control.execute(team, command).await? {
        SandboxReply::Log(entries) => Ok(entries),
        _ => Err(unexpected()),
    }
}

fn line_of(entry: &LogEntry) -> Line {
    let Entry {
        timestamp,
        message,
        level,
        fields,
    } = entry_of(entry);
    let mut line = serde_json::json!({ "level": level, "logger": LOGGER, "message": message });
    for (name, value) in fields {
        line[name] = value.into();
    }
    Line {
        timestamp,
        line: line.to_string(),
    }
}

fn entry_of(entry: &LogEntry) -> Entry {
    let fields = match entry {
        LogEntry::Event(event) => {
            let cause = event
                .cause
                .map(|cause| ("cause", cause.as_str().to_owned()));
            let kind = ("kind", event.kind.as_str().to_owned());
            std::iter::once(kind).chain(cause).collect()
        }
        LogEntry::Command(line) => fields_of(line),
    };
    Entry {
        timestamp: entry.at().to_string(),
        message: in_words(entry),
        level: Level::of(entry),
        fields,
    }
}

fn fields_of(line: &LogLine) -> BTreeMap<&'static str, String> {
    let kind = match line.end {
        None => "command_started",
        Some(_) => "command_ended",
    };
    let mut fields = BTreeMap::from([
        ("kind", kind.to_owned()),
        ("program", line.program.clone()),
        ("pid", line.pid.to_string()),
    ]);
    if let Some(end) = line.end {
        let number = |name, number: Option<i32>| number.map(|number| (name, number.to_string()));
        fields.extend(number("exit_code", end.exit_code));
        fields.extend(number("signal", end.signal));
    }
    fields
}

fn in_words(entry: &LogEntry) -> String {
    match entry {
        LogEntry::Event(event) => event_in_words(event),
        LogEntry::Command(line) => {
            let LogLine { program, pid, .. } = line;
            match line.end.map(|end| (end.exit_code, end.signal)) {
                None => format!("{program} started (pid {pid})"),
                Some((Some(code), _)) => format!("{program} exited with code {code} (pid {pid})"),
                Some((None, Some(signal))) => {
                    format!("{program} was ended by signal {signal} (pid {pid})")
                }
                Some((None, None)) => format!("{program} was lost (pid {pid})"),
            }
        }
    }
}

fn event_in_words(event: &Event) -> String {
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
    use soulbox_control::LogEnd;
    use soulbox_model::Moment;

    #[test]
    fn a_command_is_named_and_its_failure_stands_out() {
        let line = |exit_code, signal| {
            LogEntry::Command(LogLine {
                at: Moment::from_millis(1000),
                program: "make".to_owned(),
                pid: 7,
                end: Some(LogEnd { exit_code, signal }),
            })
        };
        let failed = line(Some(2), None);
        assert_eq!(in_words(&failed), "make exited with code 2 (pid 7)");
        assert_eq!(Level::of(&failed), Level::Warn);
        assert_eq!(Level::of(&line(Some(0), None)), Level::Info);
        let entry = entry_of(&line(None, Some(9)));
        assert_eq!(entry.message, "make was ended by signal 9 (pid 7)");
        assert_eq!(entry.fields["signal"], "9");
        assert!(!entry.fields.contains_key("exit_code"));
    }

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
            event_in_words(&event),
            "sandbox ended (out of memory): Linux killed python3"
        );
        assert_eq!(Level::of_event(&event), Level::Error);
        assert_eq!(Level::of_event(&end(EndCause::Expired)), Level::Info);
        assert!(Level::parse("loud").is_err() && Level::Warn < Level::Error);
    }
}
