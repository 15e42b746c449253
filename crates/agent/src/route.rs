//! Which request goes where.

use crate::process;
use crate::reply::{Failure, Reply};
use crate::request::BodyError;
use crate::state::Agent;
use crate::{files, filesystem, rpc, system, usage};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use std::rc::Rc;

/// Answers one request.
pub(crate) async fn serve(agent: &Rc<Agent>, request: Request<Incoming>) -> Reply {
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
