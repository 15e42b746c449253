//! Code in a sandbox of its own: `POST /v1/execute`, and the same below `/api`.
//!
//! | What | File |
//! |---|---|
//! | what is asked for | `ask` |
//! | code, input and files | `content` |
//! | what is answered | `answer` |
//! | the same as server-sent events | `events` |
//! | the same over a WebSocket, with live input | `socket` |
//! | several at once | `batch` |

mod answer;
mod ask;
mod batch;
mod content;
mod events;
mod socket;

use crate::auth::Team;
use crate::body::whole_within;
use crate::door::Gateway;
use crate::error::ApiError;
use crate::once::Key;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use soulbox_control::{ControlError, Once, Ran, RunClaim};
use soulbox_model::TeamId;
use std::io::Cursor;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/execute", post(execute))
        .route("/api/v1/execute", post(execute))
        .route("/v1/execute/batch", post(batch::execute))
        .route("/api/v1/execute/batch", post(batch::execute))
        .route("/v1/ws", get(socket::open))
        .route("/api/v1/ws", get(socket::open))
}

/// For fuzzing: what is kept of a body can be run.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) -> Vec<Result<(), ApiError>> {
    let body = Bytes::copy_from_slice(body);
    vec![ask::fuzz(&body), batch::fuzz(&body), socket::fuzz(&body)]
}

async fn execute(
    State(gateway): State<Gateway>,
    Team(team): Team,
    body: Code,
) -> Result<Response, ApiError> {
    let asked = ask::parse(&body.bytes)?;
    let job = asked.job((&gateway, &team), &body.bytes, None)?;
    match (body.wants_events, body.once) {
        (false, None) => whole(&gateway, &team, job).await,
        (true, None) => events::run(&gateway, &team, job).await,
        (false, Some(once)) => {
            // It goes on when the client goes away, which asks again for what it missed.
            let run = tokio::spawn(async move { known(&gateway, &team, job, once).await });
            run.await.unwrap_or(Err(ControlError::Stopping.into()))
        }
        (true, Some(_)) => Err(ApiError::bad(
            "Idempotency-Key: a stream of events cannot be told again; leave out Accept or the key",
        )),
    }
}

/// Runs code unless the same request did, and answers what that was told.
async fn known(
    gateway: &Gateway,
    team: &TeamId,
    job: ask::Job,
    once: Once,
) -> Result<Response, ApiError> {
    let ticket = match gateway.control.claim_run(team, once).await? {
        RunClaim::Answered(answer) => return Ok(answer::respond(answer.into_bytes())),
        RunClaim::First(ticket) => ticket,
    };
    match run(gateway, team, job).await {
        Ok(ran) => {
            let json = answer::json(&ran, Some(&ran.listener.0));
            ticket.answered(&json).await?;
            Ok(answer::respond(json))
        }
        Err(error) => {
            ticket.forget().await;
            Err(error)
        }
    }
}

/// Runs code to its end and answers all of it.
async fn whole(gateway: &Gateway, team: &TeamId, job: ask::Job) -> Result<Response, ApiError> {
    let ran = run(gateway, team, job).await?;
    Ok(answer::respond(answer::json(&ran, Some(&ran.listener.0))))
}

/// Runs code to its end.
async fn run(
    gateway: &Gateway,
    team: &TeamId,
    job: ask::Job,
) -> Result<Ran<answer::Kept>, ApiError> {
    let stdin = job.stdin.map(Cursor::new);
    let kept = answer::Kept::default();
    let never = std::future::pending();
    let control = &gateway.control;
    let ran = control.run(team, job.request, stdin, kept, never).await;
    Ok(ran?)
}

/// A body with code.
pub(super) struct Code {
    bytes: Bytes,
    wants_events: bool,
    /// By what it is known when it is repeated.
    once: Option<Once>,
}

impl axum::extract::FromRequest<Gateway> for Code {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, ApiError> {
        let settings = gateway.control.settings();
        let most = ("execute.request", settings.execute.request);
        let wants_events = wants_events(request.headers());
        let key = Key::of(&request)?;
        let bytes = whole_within(request, most, settings.server.body_timeout).await?;
        Ok(Self {
            once: key.once(&bytes)?,
            wants_events,
            bytes,
        })
    }
}

/// Whether the client takes server-sent events rather than JSON.
fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| {
            let kind = one.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/event-stream")
        })
}
