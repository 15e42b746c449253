//! `POST …/commands/{command}/signal`.

use super::ids_of;
use crate::auth::Team;
use crate::body::Json;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::SandboxCommand;

/// Signals by their names, with the numbers that all of Linux's architectures that we run on share.
const NAMES: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("STOP", 19),
    ("WINCH", 28),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    signal: Signal,
    /// Whether the command's whole process group gets it, as a terminal's would. The default.
    group: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Signal {
    Number(i32),
    Name(String),
}

pub(super) async fn send(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
    Json(asked): Json<Asked>,
) -> Result<StatusCode, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let signal = number(&asked.signal)?;
    let command = SandboxCommand::SignalCommand {
        sandbox,
        command,
        signal,
        group: asked.group.unwrap_or(true),
    };
    gateway.control.execute(&team, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For fuzzing: what is kept of a body is a signal of the table.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) -> Result<(), ApiError> {
    let asked: Asked = crate::body::parse(body)?;
    let found = number(&asked.signal)?;
    assert!(NAMES.iter().any(|(_, known)| *known == found));
    Ok(())
}

fn number(signal: &Signal) -> Result<i32, ApiError> {
    let found = match signal {
        Signal::Number(number) => NAMES.iter().find(|(_, known)| known == number),
        Signal::Name(name) => {
            let short = name.strip_prefix("SIG").unwrap_or(name);
            NAMES.iter().find(|(known, _)| *known == short)
        }
    };
    found.map(|(_, number)| *number).ok_or_else(|| {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| format!("SIG{name}")).collect();
        ApiError::bad(format!("signal: there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        let named = |name: &str| number(&Signal::Name(name.to_owned())).ok();
        assert_eq!(named("SIGTERM"), Some(15));
        assert_eq!(named("KILL"), Some(9));
        for wrong in ["", "SIG", "term", "SIGSIGTERM", "9"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
        assert_eq!(number(&Signal::Number(2)).ok(), Some(2));
        for wrong in [0, -9, 64, i32::MAX] {
            assert!(number(&Signal::Number(wrong)).is_err(), "{wrong}");
        }
    }
}
