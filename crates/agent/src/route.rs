//! Which request goes where.

use crate::kernels;
use crate::process;
use crate::reply::{Failure, Reply, status};
use crate::request::BodyError;
use crate::state::Agent;
use crate::{files, filesystem, rpc, system, usage};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HOST,
    HeaderMap, HeaderValue, ORIGIN,
};
use hyper::{Method, Request, StatusCode};
use std::rc::Rc;

/// The host of requests for kernels. The gateway names it; clients cannot.
const KERNELS: &str = "kernels";

/// Answers one request.
pub(crate) async fn serve(agent: &Rc<Agent>, request: Request<Incoming>) -> Reply {
    if request
        .headers()
        .get(HOST)
        .is_some_and(|host| host == KERNELS)
    {
        return kernels::http::serve(agent, request).await;
    }
    if !request.headers().contains_key(ORIGIN) {
        return answer(agent, request).await;
    }
    // From a page in a browser. The gateway decides who may ask; any page may read the answer.
    let mut reply = if request.method() == Method::OPTIONS {
        cross_origin_rules(request.headers())
    } else {
        answer(agent, request).await
    };
    let any = HeaderValue::from_static("*");
    reply
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    reply
        .headers_mut()
        .insert(ACCESS_CONTROL_EXPOSE_HEADERS, any);
    reply
}

/// What a browser is told before it sends a request that is not plain.
fn cross_origin_rules(asked: &HeaderMap) -> Reply {
    let mut reply = status(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    // The wildcard would not cover Authorization.
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    // Two hours, the longest that browsers keep it.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    reply
}

async fn answer(agent: &Rc<Agent>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    if let Some(method) = path.strip_prefix("/process.Process/") {
        return process::serve(agent, method, request).await;
    }
    if let Some(method) = path.strip_prefix("/filesystem.Filesystem/") {
        return filesystem::serve(agent, method, request).await;
    }
    let answered = match (request.method(), path.as_str()) {
        (&Method::GET | &Method::HEAD, "/health") => Ok(system::health()),
        (&Method::POST, "/init") => system::init(agent, request).await,
        (&Method::GET, "/envs") => Ok(system::variables(agent)),
        (&Method::GET | &Method::HEAD, "/files") => files::download::serve(agent, &request),
        (&Method::POST, "/files") => files::upload::serve(agent, request).await,
        (&Method::POST, "/files/compose") => files::compose::serve(agent, request).await,
        (&Method::GET, "/metrics") => Ok(usage::metrics(agent)),
        (_, "/health" | "/init" | "/envs" | "/files" | "/files/compose" | "/metrics") => {
            let message = format!("method {} is not allowed here", request.method());
            Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message))
        }
        _ if rpc::expects_stream(request.headers()) => Ok(rpc::unknown_method(&request)),
        _ => Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("no such path: {path}"),
        )),
    };
    answered.unwrap_or_else(|failure| failure.reply())
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Stalled => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) | BodyError::Compression(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}
