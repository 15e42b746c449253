//! Contexts: told, made, restarted, deleted.

use super::answer::{self, Refused};
use super::body::Fields;
use crate::kernels::context::Context;
use crate::limits;
use crate::reply::Reply;
use crate::request::read_whole;
use crate::state::Agent;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;
use std::rc::Rc;

/// A context, as clients see it.
#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    language: &'a str,
    cwd: &'a str,
}

impl<'a> View<'a> {
    fn of(context: &'a Context) -> Self {
        Self {
            id: &context.id,
            language: &context.spec.name,
            cwd: &context.cwd,
        }
    }
}

/// All of them, the newest last.
pub(super) fn list(agent: &Agent) -> Reply {
    let contexts = agent.kernels().all();
    let views: Vec<View<'_>> = contexts.iter().map(|context| View::of(context)).collect();
    answer::json(&views)
}

/// Makes one, with a process that is ready. One that cannot be had leaves nothing.
pub(super) async fn create(
    agent: &Rc<Agent>,
    request: Request<Incoming>,
) -> Result<Reply, Refused> {
    let body = read_whole(request.into_body(), limits::MESSAGE).await?;
    let mut fields = Fields::read_optional(&body).map_err(|list| answer::wrong(&list))?;
    let (language, cwd) = (fields.text("language"), fields.text("cwd"));
    fields.finish().map_err(|list| answer::wrong(&list))?;
    let chosen = cwd.is_some();
    let kernels = agent.kernels();
    let context = kernels.make(agent, &language.unwrap_or_default(), cwd)?;
    // Also when the client goes away meanwhile: nobody would know its id.
    let unknown = Unknown {
        agent,
        context: Some(Rc::clone(&context)),
    };
    let ready = context.ready().await;
    ready.map_err(|why| answer::not_started(&why))?;
    let astray = context.astray.borrow().clone();
    if let Some(why) = astray.filter(|_| chosen) {
        let cwd: String = context.cwd.chars().take(200).collect();
        let message = format!("cannot enter cwd '{cwd}': {why}");
        return Err(answer::refused(StatusCode::BAD_REQUEST, &message));
    }
    unknown.tell();
    Ok(answer::json(&View::of(&context)))
}

/// A context that no client knows; it is deleted with this.
struct Unknown<'a> {
    agent: &'a Agent,
    context: Option<Rc<Context>>,
}

impl Unknown<'_> {
    /// The client gets to know it.
    fn tell(mut self) {
        self.context = None;
    }
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            self.agent.kernels().delete(&context);
        }
    }
}

/// Gives one a new process.
pub(super) async fn restart(agent: &Agent, id: &str) -> Result<Reply, Refused> {
    let context = find(agent, id)?;
    let restarted = context.restart().await;
    restarted.map_err(|why| answer::not_started(&why))?;
    Ok(answer::json(&()))
}

/// Ends one for good.
pub(super) fn delete(agent: &Agent, id: &str) -> Result<Reply, Refused> {
    agent.kernels().delete(&find(agent, id)?);
    Ok(answer::json(&()))
}

fn find(agent: &Agent, id: &str) -> Result<Rc<Context>, Refused> {
    let context = agent.kernels().find(id);
    context.ok_or_else(|| answer::no_context(id))
}
