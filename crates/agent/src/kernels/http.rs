//! The routes of the virtual port 49999, as E2B's code interpreter has them.
//!
//! | What | File |
//! |---|---|
//! | answers in that server's shapes | `answer` |
//! | bodies, and what is wrong with them | `body` |
//! | making, restarting, deleting contexts | `contexts` |
//! | running code | `execute` |
//! | the lines of a run | `output` |

mod answer;
pub(crate) mod body;
mod contexts;
mod execute;
mod output;

use crate::reply::Reply;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN,
};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use std::rc::Rc;

/// What the gateway asks before it sends anything here: the names of the kernels. Without any, the
/// port is one like all others.
const KERNELS: &str = "/soulbox/kernels";

/// Answers one request.
pub(crate) async fn serve(agent: &Rc<Agent>, request: Request<Incoming>) -> Reply {
    if !request.headers().contains_key(ORIGIN) {
        return route(agent, request).await;
    }
    // Any page may ask: whoever cannot be told apart from others gets nothing that others do not.
    let asks = request
        .headers()
        .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut reply = match asks && request.method() == Method::OPTIONS {
        true => rules(request.headers()),
        false => route(agent, request).await,
    };
    let any = HeaderValue::from_static("*");
    reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    reply
}

/// What a browser is told before it sends a request that is not plain.
fn rules(asked: &HeaderMap) -> Reply {
    let mut reply = answer::text(StatusCode::OK, "OK");
    let headers = reply.headers_mut();
    let methods = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    reply
}

async fn route(agent: &Rc<Agent>, request: Request<Incoming>) -> Reply {
    let kernels = agent.kernels().begin(agent);
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let answered = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["health"]) => Ok(answer::json(&"OK")),
        (&Method::POST, ["execute"]) => execute::serve(agent, request).await,
        (&Method::GET, ["contexts"]) => Ok(contexts::list(agent)),
        (&Method::POST, ["contexts"]) => contexts::create(agent, request).await,
        (&Method::POST, ["contexts", id, "restart"]) => contexts::restart(agent, id).await,
        (&Method::DELETE, ["contexts", id]) => contexts::delete(agent, id),
        (_, ["health"]) => Ok(answer::not_allowed("GET")),
        (_, ["execute"] | ["contexts", _, "restart"]) => Ok(answer::not_allowed("POST")),
        (_, ["contexts"]) => Ok(answer::not_allowed("GET, POST")),
        (_, ["contexts", _]) => Ok(answer::not_allowed("DELETE")),
        (&Method::GET, _) if path == KERNELS => Ok(answer::json(&json!({ "kernels": kernels }))),
        _ => Ok(answer::detail(StatusCode::NOT_FOUND, &"Not Found")),
    };
    answered.unwrap_or_else(|refused| *refused)
}
