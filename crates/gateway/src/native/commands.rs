//! Commands: one file for each thing that is done with them.

mod follow;
mod input;
mod list;
mod output;
mod signal;
mod start;
mod view;
mod wait;

use crate::door::Gateway;
use crate::error::ApiError;
use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use soulbox_control::{ControlError, SandboxReply};
use soulbox_model::{CommandId, CommandRecord, SandboxId};

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route(
            "/v1/sandboxes/{sandbox}/commands",
            post(start::start).get(list::list),
        )
        .route("/v1/sandboxes/{sandbox}/commands/{command}", get(list::get))
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/wait",
            get(wait::wait),
        )
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/signal",
            post(signal::send),
        )
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/stdin",
            post(input::write),
        )
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/stdout",
            get(output::stdout),
        )
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/stderr",
            get(output::stderr),
        )
        .route(
            "/v1/sandboxes/{sandbox}/commands/{command}/output",
            get(follow::output),
        )
}

/// For fuzzing: what the readers of bodies say.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &[u8]) -> [Result<(), ApiError>; 2] {
    [start::fuzz(body), signal::fuzz(body)]
}

fn sandbox_of(text: &str) -> Result<SandboxId, ApiError> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        ControlError::NoSandbox(shown).into()
    })
}

fn ids_of((sandbox, command): &(String, String)) -> Result<(SandboxId, CommandId), ApiError> {
    let id = command.parse().map_err(|_| {
        let shown: String = command.chars().take(80).collect();
        ApiError::from(ControlError::NoCommand(shown))
    })?;
    Ok((sandbox_of(sandbox)?, id))
}

/// The one command of a reply.
fn one(reply: SandboxReply) -> Result<CommandRecord, ApiError> {
    match reply {
        SandboxReply::Command(record) => Ok(*record),
        other => Err(unexpected(&other)),
    }
}

/// An answer to another question: a fault of ours.
fn unexpected(reply: &SandboxReply) -> ApiError {
    tracing::error!(?reply, "an answer to another question");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "an answer to another question",
    )
}
