//! A live sandbox as a [`Guest`]: by its agent, and by the host's own counters.

use crate::execute::agent::{self, AgentControl, AgentEvents};
use crate::execute::guest::{Command, Guest, GuestError, Input};
use crate::sandbox::Sandbox;
use tokio::io::AsyncWrite;

impl Guest for Sandbox {
    type Events = AgentEvents;
    type Control = AgentControl;

    fn template(&self) -> String {
        Sandbox::template(self).to_string()
    }

    async fn start(&self, command: &Command) -> Result<(AgentEvents, AgentControl), GuestError> {
        if command.forked
            && let Some(supplier) = self.supplier()
        {
            supplier.begin_for_one().await;
        }
        agent::start(self.agent(), None, command).await
    }

    async fn list_files(
        &self,
        directory: &str,
        user: Option<&str>,
    ) -> Result<Vec<String>, GuestError> {
        agent::list_files(self.agent(), directory, user).await
    }

    async fn write_file(
        &self,
        path: &str,
        user: Option<&str>,
        content: Input,
        executable: bool,
    ) -> Result<(), GuestError> {
        agent::write_file(self.agent(), path, user, content, executable).await
    }

    async fn read_file(
        &self,
        path: &str,
        user: Option<&str>,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        limit: u64,
    ) -> Result<(), GuestError> {
        agent::read_file(self.agent(), path, user, to, limit).await
    }

    async fn has_program(&self, name: &str) -> Result<bool, GuestError> {
        agent::has_program(self.agent(), name).await
    }

    async fn kill_all(&self) -> Result<(), GuestError> {
        let killed = self.kill_processes().await;
        killed.map_err(|error| GuestError::Gone(Box::new(error)))
    }

    async fn ran_out_of_memory(&self) -> bool {
        // A sandbox that has ended tells its last figures.
        let usage = match self.usage().await {
            Ok(usage) => usage,
            Err(_) => self.ended().await,
        };
        usage.oom_kills > 0
    }

    async fn disk_is_full(&self) -> bool {
        Sandbox::disk_is_full(self)
    }
}
