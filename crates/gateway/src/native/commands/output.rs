//! `GET …/commands/{command}/stdout` and `/stderr`: bytes from any offset, while it runs and
//! afterwards.

use super::{ids_of, unexpected};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::native::query::Query;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use soulbox_control::{OutputPiece, SandboxCommand, SandboxReply};
use soulbox_runtime::agent_client::OutputStream;

/// The most bytes of one answer.
const MOST: usize = 8 * 1024 * 1024;

/// Where to go on reading.
const NEXT: HeaderName = HeaderName::from_static("soulbox-next-offset");
/// Whether there will be nothing more to read.
const END: HeaderName = HeaderName::from_static("soulbox-end");
/// Whether something was not kept.
const CUT: HeaderName = HeaderName::from_static("soulbox-cut");
/// All bytes that were written so far, also those that were not kept.
const TOTAL: HeaderName = HeaderName::from_static("soulbox-total");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    offset: u64,
    limit: Option<usize>,
}

pub(super) async fn stdout(
    state: State<Gateway>,
    team: Team,
    ids: Path<(String, String)>,
    options: Query<Options>,
) -> Result<Response, ApiError> {
    read(state, team, ids, options, OutputStream::Stdout).await
}

pub(super) async fn stderr(
    state: State<Gateway>,
    team: Team,
    ids: Path<(String, String)>,
    options: Query<Options>,
) -> Result<Response, ApiError> {
    read(state, team, ids, options, OutputStream::Stderr).await
}

async fn read(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(ids): Path<(String, String)>,
    Query(options): Query<Options>,
    stream: OutputStream,
) -> Result<Response, ApiError> {
    let (sandbox, command) = ids_of(&ids)?;
    let command = SandboxCommand::ReadOutput {
        sandbox,
        command,
        stream,
        offset: options.offset,
        limit: options.limit.unwrap_or(MOST).min(MOST),
    };
    match gateway.control.execute(&team, command).await? {
        SandboxReply::Output(piece) => Ok(response(*piece)),
        other => Err(unexpected(&other)),
    }
}

fn response(piece: OutputPiece) -> Response {
    let next = piece.offset.saturating_add(piece.bytes.len() as u64);
    let flag = |set| HeaderValue::from_static(if set { "true" } else { "false" });
    let (end, cut) = (flag(piece.end), flag(piece.size.is_cut()));
    let mut response = Response::new(Body::from(piece.bytes));
    let headers = response.headers_mut();
    let bytes = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, bytes);
    headers.insert(NEXT, HeaderValue::from(next));
    headers.insert(END, end);
    headers.insert(CUT, cut);
    headers.insert(TOTAL, HeaderValue::from(piece.size.total));
    response
}
