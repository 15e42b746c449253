//! A sandbox of a server, as running code sees it.

use super::Server;
use http::Method;
use serde::Deserialize;
use soulbox_client::way::Way;
use soulbox_model::SandboxId;
use soulbox_node::execute::agent::{self, AgentControl, AgentEvents};
use soulbox_node::execute::guest::Input;
use soulbox_node::execute::{Command, Guest, GuestError};
use tokio::io::AsyncWrite;

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

impl Guest for RemoteGuest<'_> {
    type Events = AgentEvents;
    type Control = AgentControl;

    fn template(&self) -> String {
        self.template.clone()
    }

    async fn start(&self, command: &Command) -> Result<(AgentEvents, AgentControl), GuestError> {
        agent::start(&self.way.client, Some(&self.way.input), command).await
    }

    async fn list_files(
        &self,
        directory: &str,
        user: Option<&str>,
    ) -> Result<Vec<String>, GuestError> {
        agent::list_files(&self.way.client, directory, user).await
    }

    async fn write_file(
        &self,
        path: &str,
        user: Option<&str>,
        content: Input,
        executable: bool,
    ) -> Result<(), GuestError> {
        agent::write_file(&self.way.client, path, user, content, executable).await
    }

    async fn read_file(
        &self,
        path: &str,
        user: Option<&str>,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        limit: u64,
    ) -> Result<(), GuestError> {
        agent::read_file(&self.way.client, path, user, to, limit).await
    }

    async fn has_program(&self, name: &str) -> Result<bool, GuestError> {
        agent::has_program(&self.way.client, name).await
    }

    async fn kill_all(&self) -> Result<(), GuestError> {
        let path = format!("/v1/sandboxes/{}/processes", self.id);
        let killed = self.server.have_done(Method::DELETE, &path, None).await;
        killed.map_err(|error| GuestError::Gone(Box::new(error)))
    }

    async fn ran_out_of_memory(&self) -> bool {
        match self.used().await {
            Some(used) => used.oom_kills > 0,
            // It ended: its agent may be what Linux killed.
            None => self.end().await.as_deref() == Some("out_of_memory"),
        }
    }

    async fn disk_is_full(&self) -> bool {
        self.used().await.is_some_and(|used| used.disk_full)
    }
}
