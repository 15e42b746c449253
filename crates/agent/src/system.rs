//! The plain routes about the sandbox as a whole: `/health`, `/init`, `/envs`.

use crate::limits;
use crate::reply::{Failure, Reply, json, status};
use crate::request::read_whole;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Request, StatusCode};
use soulbox_wire::envd::http::InitRequest;

/// `GET /health`: the agent answers.
pub(crate) fn health() -> Reply {
    let mut reply = status(StatusCode::NO_CONTENT);
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `POST /init`: variables, default user and default directory of the sandbox.
pub(crate) async fn init(agent: &Agent, request: Request<Incoming>) -> Result<Reply, Failure> {
    let body = read_whole(request.into_body(), limits::INIT).await?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let wanted: InitRequest = serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("invalid body: {error}")))?;
    let mut settings = agent.settings.borrow_mut();
    settings.version += 1;
    if let Some(variables) = wanted.env_vars {
        settings.env_vars = variables;
    }
    if let Some(user) = wanted.default_user.filter(|user| !user.is_empty()) {
        settings.default_user = user;
    }
    if let Some(directory) = wanted.default_workdir {
        settings.default_workdir = Some(directory).filter(|directory| !directory.is_empty());
    }
    Ok(status(StatusCode::NO_CONTENT))
}

/// `GET /envs`: the variables that `/init` set.
pub(crate) fn variables(agent: &Agent) -> Reply {
    json(StatusCode::OK, &agent.settings.borrow().env_vars)
}
