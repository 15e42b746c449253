//! `POST /v1/execute/batch`: several pieces of code, each in a sandbox of its own, so many at once and no more. One
//! that fails fails alone.

use super::{Code, answer, ask, run};
use crate::auth::Team;
use crate::door::Gateway;
use crate::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use bytes::{BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use soulbox_model::TeamId;
use soulbox_settings::Execute;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'b> {
    /// Each as the body of `POST /v1/execute`.
    #[serde(borrow)]
    requests: Vec<&'b RawValue>,
    /// How many at once.
    parallel: Option<u32>,
}

pub(super) async fn execute(
    State(gateway): State<Gateway>,
    Team(team): Team,
    body: Code,
) -> Result<Response, ApiError> {
    if body.once.is_some() {
        return Err(ApiError::bad(
            "Idempotency-Key: send what may be repeated in requests of its own",
        ));
    }
    let settings = &gateway.control.settings().execute;
    let batch = parse(&body.bytes, settings)?;
    let at_once = batch.parallel.unwrap_or(settings.batch_at_once);
    // Two streams each.
    let share = settings.batch_output.bytes() / 2 / batch.requests.len().max(1) as u64;
    let pieces: Vec<Bytes> = batch
        .requests
        .iter()
        .map(|request| body.bytes.slice_ref(request.get().as_bytes()))
        .collect();
    let replies = stream::iter(pieces)
        .map(|piece| one(&gateway, &team, piece, share))
        .buffered(at_once as usize);
    let replies: Vec<Vec<u8>> = replies.collect().await;
    let mut json = Vec::with_capacity(replies.iter().map(Vec::len).sum::<usize>() + 32);
    json.put_slice(b"{\"replies\":[");
    for (at, reply) in replies.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.put_slice(reply);
    }
    json.put_slice(b"]}");
    Ok(answer::respond(json))
}

fn parse<'b>(body: &'b Bytes, settings: &Execute) -> Result<Batch<'b>, ApiError> {
    let batch: Batch<'b> =
        serde_json::from_slice(body).map_err(|error| ApiError::bad(format!("body: {error}")))?;
    if batch.requests.len() > settings.batch as usize {
        return Err(ApiError::bad(format!(
            "requests: there are more than {} (setting execute.batch)",
            settings.batch
        )));
    }
    match batch.parallel {
        Some(most) if most == 0 || most > settings.batch_at_once => Err(ApiError::bad(format!(
            "parallel: it must be between 1 and {} (setting execute.batch_at_once)",
            settings.batch_at_once
        ))),
        _ => Ok(batch),
    }
}

/// One of them, with its own status: `{"status":200,"reply":{…}}` or `{"status":…,"error":{…}}`.
async fn one(gateway: &Gateway, team: &TeamId, piece: Bytes, share: u64) -> Vec<u8> {
    let ran = async {
        let job = ask::parse(&piece)?.job((gateway, team), &piece, Some(share))?;
        run(gateway, team, job).await
    };
    match ran.await {
        Ok(ran) => {
            let reply = answer::json(&ran, Some(&ran.listener.0));
            [b"{\"status\":200,\"reply\":".as_slice(), &reply, b"}"].concat()
        }
        Err(error) => {
            let status = error.status.as_u16();
            let told = serde_json::json!({
                "status": status,
                "error": { "code": status, "message": error.message },
            });
            told.to_string().into_bytes()
        }
    }
}

/// For fuzzing: what is kept of a body has pieces of it.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &Bytes) -> Result<(), ApiError> {
    let Ok(settings) = soulbox_settings::Settings::with(&[]) else {
        return Ok(());
    };
    let batch = parse(body, &settings.execute)?;
    for request in &batch.requests {
        let piece = body.slice_ref(request.get().as_bytes());
        drop(ask::parse(&piece));
    }
    Ok(())
}
