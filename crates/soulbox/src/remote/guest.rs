//! A sandbox of a server, as running code sees it.

use super::Server;
use http::Method;
use serde::Deserialize;
use soulbox_client::way::Way;
use soulbox_model::SandboxId;
use soulbox_node::execute::{AgentGuest, GuestError};
use soulbox_runtime::agent_client::AgentClient;

/// A sandbox of a server.
pub(crate) struct RemoteGuest<'g> {
    pub(crate) server: &'g Server,
    pub(crate) id: SandboxId,
    pub(crate) template: String,
    pub(crate) way: Way,
}

/// What a sandbox has used, by the counters of the server's machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Used {
    /// Processor time, in microseconds.
    pub(crate) cpu_us: u64,
    /// The most memory at once, in bytes.
    pub(crate) peak_memory_bytes: u64,
    /// Processes that Linux killed for want of memory.
    pub(crate) oom_kills: u64,
    /// Whether its file system is full.
    pub(crate) disk_full: bool,
    /// The last of those processes.
    pub(crate) memory_kill: Option<Killed>,
}

/// A process that Linux killed for want of memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Killed {
    /// Its name, which it chose.
    pub(crate) process: String,
    /// What it held, in bytes.
    pub(crate) held_bytes: u64,
}

/// How a sandbox ended.
#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cause: Option<String>,
}

impl RemoteGuest<'_> {
    /// What it has used so far; none when it is gone.
    pub(crate) async fn used(&self) -> Option<Used> {
        let path = format!("/v1/sandboxes/{}/usage", self.id);
        self.server.get(&path).await.ok()
    }

    /// Why it ended, in the server's word; none while it lives.
    pub(crate) async fn end(&self) -> Option<String> {
        let path = format!("/v1/sandboxes/{}/events", self.id);
        let told: Events = self.server.get(&path).await.ok()?;
        told.events.into_iter().rev().find_map(|event| event.cause)
    }
}

impl AgentGuest for RemoteGuest<'_> {
    fn client(&self) -> &AgentClient {
        &self.way.client
    }

    fn pieces(&self) -> Option<&AgentClient> {
        Some(&self.way.input)
    }

    fn template_name(&self) -> String {
        self.template.clone()
    }

    async fn end_all(&self) -> Result<(), GuestError> {
        let path = format!("/v1/sandboxes/{}/processes", self.id);
        let killed = self.server.have_done(Method::DELETE, &path, None).await;
        killed.map_err(|error| GuestError::Gone(Box::new(error)))
    }

    async fn lacked_memory(&self) -> bool {
        match self.used().await {
            Some(used) => used.oom_kills > 0,
            // It ended: its agent may be what Linux killed.
            None => self.end().await.as_deref() == Some("out_of_memory"),
        }
    }

    async fn lacked_disk(&self) -> bool {
        self.used().await.is_some_and(|used| used.disk_full)
    }
}
