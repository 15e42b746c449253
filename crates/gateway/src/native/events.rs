//! What happens to sandboxes: told once, or followed as
//! [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).

use crate::auth::Team;
use crate::door::Gateway;
use crate::e2b::{id_of, unexpected};
use crate::error::ApiError;
use crate::query::Query;
use axum::extract::{Path, State};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response, sse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, stream};
use http::HeaderMap;
use serde_json::{Value, json};
use soulbox_control::{Happened, SandboxCommand, SandboxReply};
use soulbox_model::{EventKind, SandboxId, TeamId};
use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/events", get(of_team))
        .route("/v1/sandboxes/{id}/events", get(of_sandbox))
}

/// What happened to one sandbox, also after its end. Followed, the stream ends with the sandbox.
async fn of_sandbox(
    State(gateway): State<Gateway>,
    Team(team): Team,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    // Before the store is read: what happens meanwhile is in both, and told once.
    let coming = gateway.control.records().hub().follow();
    let command = SandboxCommand::Events(id.clone());
    let SandboxReply::Events(events) = gateway.control.execute(&team, command).await? else {
        return Err(unexpected());
    };
    if !query.flag("follow")? {
        return Ok(all(events.iter()));
    }
    let seen = events.iter().map(|event| event.id.clone()).collect();
    let told = events.into_iter().map(Arc::new).collect();
    Ok(follow(Following {
        told: after(told, &headers),
        seen,
        only: Some(id),
        ..Following::new(&gateway, coming, team)
    }))
}

/// What happened to the sandboxes of a team since the server started: the last
/// [`soulbox_control::hub::BEHIND`], of all teams.
async fn of_team(
    State(gateway): State<Gateway>,
    Team(team): Team,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (events, coming) = gateway.control.records().hub().recent(&team);
    if !query.flag("follow")? {
        return Ok(all(events.iter().map(AsRef::as_ref)));
    }
    // Without a place to go on from, only what comes is told.
    let told = match headers.contains_key(LAST) {
        true => after(events.into(), &headers),
        false => VecDeque::new(),
    };
    Ok(follow(Following {
        told,
        ..Following::new(&gateway, coming, team)
    }))
}

/// Where a client that comes back had been.
const LAST: &str = "last-event-id";

/// Those that a client has not seen that says which it saw last.
fn after(events: VecDeque<Arc<Happened>>, headers: &HeaderMap) -> VecDeque<Arc<Happened>> {
    let last = headers.get(LAST).and_then(|last| last.to_str().ok());
    match last {
        Some(last) => events
            .into_iter()
            .filter(|event| event.id.as_str() > last)
            .collect(),
        None => events,
    }
}

fn all<'a>(events: impl Iterator<Item = &'a Happened>) -> Response {
    let events: Vec<_> = events.map(tell).collect();
    Json(json!({ "events": events })).into_response()
}

/// An event in words.
fn tell(happened: &Happened) -> Value {
    let event = &happened.event;
    let mut told = json!({
        "id": happened.id,
        "sandboxID": happened.sandbox,
        "timestamp": event.at.to_string(),
        "kind": event.kind.as_str(),
        "detail": event.detail,
    });
    if let Some(cause) = event.cause {
        told["cause"] = cause.as_str().into();
    }
    told
}

/// Somebody who follows.
struct Following {
    /// What is to be told first.
    told: VecDeque<Arc<Happened>>,
    /// What was read already and may come again.
    seen: HashSet<String>,
    coming: Receiver<Arc<Happened>>,
    team: TeamId,
    only: Option<SandboxId>,
    stopping: watch::Receiver<bool>,
    over: bool,
}

impl Following {
    fn new(gateway: &Gateway, coming: Receiver<Arc<Happened>>, team: TeamId) -> Self {
        Self {
            told: VecDeque::new(),
            seen: HashSet::new(),
            coming,
            team,
            only: None,
            stopping: gateway.stopping.subscribe(),
            over: false,
        }
    }

    fn wants(&self, happened: &Happened) -> bool {
        happened.team == self.team
            && self
                .only
                .as_ref()
                .is_none_or(|only| happened.sandbox == *only)
            && !self.seen.contains(&happened.id)
    }

    /// The next to tell; none when nothing comes any more.
    async fn next(&mut self) -> Option<sse::Event> {
        if self.over {
            return None;
        }
        if let Some(happened) = self.told.pop_front() {
            return Some(self.send(&happened));
        }
        loop {
            let coming = tokio::select! {
                coming = self.coming.recv() => coming,
                _ = self.stopping.wait_for(|stopping| *stopping) => {
                    self.over = true;
                    return Some(sse::Event::default().event("stopping").data("{}"));
                }
            };
            match coming {
                Ok(happened) if self.wants(&happened) => return Some(self.send(&happened)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    let data = json!({ "missed": missed }).to_string();
                    return Some(sse::Event::default().event("lagged").data(data));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn send(&mut self, happened: &Happened) -> sse::Event {
        let event = &happened.event;
        self.over = self.only.is_some() && event.kind == EventKind::Ended;
        sse::Event::default()
            .id(&happened.id)
            .event(event.kind.as_str())
            .data(tell(happened).to_string())
    }
}

fn follow(following: Following) -> Response {
    Sse::new(stream_of(following))
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn stream_of(
    following: Following,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static {
    stream::unfold(following, async |mut following| {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}
