//! `POST /v1/sandboxes/{sandbox}/commands`.

use super::{one, sandbox_of, view};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::query::Query;
use crate::once::OnceJson;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use soulbox_control::{NewCommand, SandboxCommand};
use soulbox_model::TerminalSize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The program and its arguments.
    cmd: Option<Vec<String>>,
    /// In place of `cmd`: a text for `bash -l -c`.
    shell: Option<String>,
    env: Option<BTreeMap<String, String>>,
    cwd: Option<String>,
    user: Option<String>,
    stdin: Option<bool>,
    pty: Option<Pty>,
    timeout_ms: Option<u64>,
    /// Its output waits, for 10 s at the most, until somebody follows it at the agent.
    attended: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pty {
    #[serde(default = "columns")]
    cols: u16,
    #[serde(default = "rows")]
    rows: u16,
}

/// The size of terminals since the VT100.
const fn columns() -> u16 {
    80
}

const fn rows() -> u16 {
    24
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Answer when it is over, or after so long.
    wait_ms: Option<u64>,
}

pub(super) async fn start(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(sandbox): Path<String>,
    Query(options): Query<Options>,
    OnceJson(asked, once): OnceJson<Asked>,
) -> Result<Response, ApiError> {
    let sandbox = sandbox_of(&sandbox)?;
    let new = NewCommand {
        once,
        ..command(asked)?
    };
    let control = &gateway.control;
    let start = SandboxCommand::StartCommand(sandbox.clone(), Box::new(new));
    let mut record = one(control.execute(&team, start).await?)?;
    if let Some(wait) = options.wait_ms.filter(|_| !record.state.is_over()) {
        let limit = Duration::from_millis(wait);
        let wait = SandboxCommand::WaitCommand(sandbox, record.id, limit);
        record = one(control.execute(&team, wait).await?)?;
    }
    let place = format!("/v1/sandboxes/{}/commands/{}", record.sandbox, record.id);
    let body = axum::Json(view::Command::from(&record));
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// For fuzzing: what is kept of a body is a command.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) -> Result<(), ApiError> {
    let new = command(crate::body::parse(body)?)?;
    assert!(new.timeout != Some(Duration::ZERO) && new.once.is_none());
    Ok(())
}

fn command(asked: Asked) -> Result<NewCommand, ApiError> {
    let cmd = match (asked.cmd, asked.shell) {
        (Some(cmd), None) => cmd,
        (None, Some(text)) => ["/bin/bash", "-l", "-c"]
            .map(str::to_owned)
            .into_iter()
            .chain([text])
            .collect(),
        (Some(_), Some(_)) => {
            return Err(ApiError::bad("shell: give either cmd or shell, not both"));
        }
        (None, None) => {
            return Err(ApiError::bad(
                "cmd: name a program and its arguments, or give shell",
            ));
        }
    };
    if asked.timeout_ms == Some(0) {
        return Err(ApiError::bad(
            "timeout_ms: it must be at least 1; leave it out for no limit",
        ));
    }
    Ok(NewCommand {
        cmd,
        variables: asked.env.unwrap_or_default(),
        cwd: asked.cwd,
        user: asked.user,
        stdin: asked.stdin.unwrap_or(false),
        terminal: asked.pty.map(|pty| TerminalSize {
            cols: pty.cols,
            rows: pty.rows,
        }),
        timeout: asked.timeout_ms.map(Duration::from_millis),
        attended: asked.attended.unwrap_or(false),
        once: None,
    })
}
