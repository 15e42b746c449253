//! What waits: a slot, with whatever was made in it so far.

use super::Core;
use super::keep::Layer;
use crate::node::CreateError;
use crate::storage::Gauge;
use crate::template::Template;
use crate::zygotes::{Supplier, Zygote};
use soulbox_runtime::agent_client::{AgentClient, AgentError};
use soulbox_runtime::native::driver::{Made, Slot};
use soulbox_wire::envd::http::InitRequest;
use std::path::PathBuf;
use std::sync::Arc;

/// A slot that waits, with whatever was made in it so far.
pub(crate) struct Waiting {
    pub(super) slot: Slot,
    /// The host uid that will own the user namespace of what is made in it.
    pub(super) owner: u32,
    pub(super) made: Made,
    pub(super) socket: PathBuf,
    /// What its agent is to be told, and whether it was.
    pub(super) init: InitRequest,
    pub(super) told: bool,
    /// Keeps the trees from being removed.
    pub(crate) template: Option<Arc<Template>>,
    /// Takes what the slot holds until all of it is given back.
    pub(super) layer: Layer,
    pub(super) gauge: Gauge,
    /// Whose copies may join it.
    pub(super) zygote: Option<Arc<Zygote>>,
    /// Whether one waits in it.
    pub(crate) ahead: bool,
}

impl Waiting {
    /// Whether it still is there, and what was asked for now would be made of the same trees.
    pub(super) fn is_current(&self) -> bool {
        let template = self.template.as_ref();
        !self.slot.is_gone() && template.is_none_or(|template| template.is_current())
    }

    /// Ends it; what it held is free then, but for what it wrote on disk.
    pub(crate) async fn end(self) {
        self.slot.destroy().await;
    }

    /// Tells its agent what is known before it is handed out.
    pub(crate) async fn tell(&mut self, core: &Core) -> Result<(), CreateError> {
        if self.init != InitRequest::default() {
            let limits = (&core.settings.agent).into();
            let agent = AgentClient::with_limits(self.socket.clone(), limits);
            agent.init(&self.init).await?;
        }
        self.told = true;
        Ok(())
    }

    /// The way of its zygote's copies into it, once it runs.
    pub(crate) fn supplier(&self, core: &Core) -> Option<Supplier> {
        let zygote = self.zygote.clone()?;
        let agent = AgentClient::with_limits(self.socket.clone(), (&core.settings.agent).into());
        Some(Supplier::new(agent, self.slot.joiner(), zygote, self.ahead))
    }

    /// Has the agent of a sandbox that runs start a Node.js that waits.
    pub(crate) async fn start_ahead(&self, core: &Core) -> Result<(), AgentError> {
        let agent = AgentClient::with_limits(self.socket.clone(), (&core.settings.agent).into());
        let variables = self.init.env_vars.clone();
        agent.ready(variables.unwrap_or_default()).await
    }
}
