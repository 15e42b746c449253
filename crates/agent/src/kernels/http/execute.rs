//! `POST /execute`: code in, lines out.

use super::answer::{self, Refused};
use super::body::Fields;
use super::output::Output;
use crate::limits;
use crate::reply::{Body, Reply};
use crate::request::read_whole;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::time::timeout;

/// What is to be run.
struct Asked {
    code: String,
    context: Option<String>,
    language: Option<String>,
    variables: BTreeMap<String, String>,
}

impl Asked {
    async fn read(body: Incoming) -> Result<Self, Refused> {
        let body = read_whole(body, limits::KERNEL_BODY).await?;
        let mut fields = Fields::read(&body).map_err(|list| answer::wrong(&list))?;
        let asked = Self {
            code: fields.required_text("code"),
            context: fields.text("context_id"),
            language: fields.text("language"),
            variables: fields.texts("env_vars"),
        };
        fields.finish().map_err(|list| answer::wrong(&list))?;
        Ok(asked)
    }
}

/// Runs code. The answer begins before the end of the run, unless that comes soon or the context has
/// no process yet.
pub(super) async fn serve(agent: &Rc<Agent>, request: Request<Incoming>) -> Result<Reply, Refused> {
    let asked = Asked::read(request.into_body()).await?;
    let kernels = agent.kernels();
    let context = match (&asked.context, &asked.language) {
        (Some(_), Some(_)) => {
            let message = "Only one of context_id or language can be provided";
            return Err(answer::refused(StatusCode::BAD_REQUEST, message));
        }
        (Some(id), None) => kernels.find(id).ok_or_else(|| answer::no_context(id))?,
        (None, language) => kernels.default(agent, language.as_deref().unwrap_or_default())?,
    };
    let ready = context.ready().await;
    ready.map_err(|why| answer::not_started(&why))?;
    let run = context.submit(&asked.code, &asked.variables)?;
    let mut output = Output::new(context, run);
    // One write for a short cell, here and at everybody on the way.
    let _ = timeout(limits::KERNEL_SHORT, output.over()).await;
    Ok(Response::new(Body::stream(output)))
}
