//! Sandboxes whose agent is reached by a client, at its own socket or behind a server: what is asked of the agent is the
//! same for all of them.

use crate::execute::agent::{self, AgentControl, AgentEvents};
use crate::execute::guest::{Command, Guest, GuestError, Input};
use soulbox_runtime::agent_client::AgentClient;
use std::collections::BTreeMap;
use tokio::io::AsyncWrite;

/// What tells such sandboxes apart: above all what the host is asked, and not the sandbox.
pub trait AgentGuest: Sync {
    /// The way to its agent.
    fn client(&self) -> &AgentClient;

    /// The way of input that goes in pieces; none: input goes as one stream.
    fn pieces(&self) -> Option<&AgentClient> {
        None
    }

    /// See [`Guest::template`].
    fn template_name(&self) -> String;

    /// Variables of each command that the sandbox itself was not told; none: there are none.
    fn variables(&self) -> Option<&BTreeMap<String, String>> {
        None
    }

    /// Done before a process is started which an interpreter may run that is loaded already.
    fn before_fork(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// See [`Guest::carries_files`].
    fn takes_files(&self) -> bool {
        false
    }

    /// Hears the number inside of a process that was started.
    fn started(&self, _pid: u32) {}

    /// See [`Guest::kill_all`].
    fn end_all(&self) -> impl Future<Output = Result<(), GuestError>> + Send;

    /// See [`Guest::ran_out_of_memory`].
    fn lacked_memory(&self) -> impl Future<Output = bool> + Send;

    /// See [`Guest::disk_is_full`].
    fn lacked_disk(&self) -> impl Future<Output = bool> + Send;
}

impl<G: AgentGuest> Guest for G {
    type Events = AgentEvents;
    type Control = AgentControl;

    fn template(&self) -> String {
        self.template_name()
    }

    fn carries_files(&self) -> bool {
        self.takes_files()
    }

    async fn start(&self, command: &Command) -> Result<(AgentEvents, AgentControl), GuestError> {
        if command.forked && command.words.first().is_some_and(|word| word != "node") {
            self.before_fork().await;
        }
        let mut command = command.clone();
        for (name, value) in self.variables().into_iter().flatten() {
            let known = command.variables.entry(name.clone());
            known.or_insert_with(|| value.clone());
        }
        let (events, control) = agent::start(self.client(), self.pieces(), &command).await?;
        self.started(control.pid());
        Ok((events, control))
    }

    async fn list_files(
        &self,
        directory: &str,
        user: Option<&str>,
    ) -> Result<Vec<String>, GuestError> {
        agent::list_files(self.client(), directory, user).await
    }

    async fn write_file(
        &self,
        path: &str,
        user: Option<&str>,
        content: Input,
        executable: bool,
    ) -> Result<(), GuestError> {
        agent::write_file(self.client(), path, user, content, executable).await
    }

    async fn read_file(
        &self,
        path: &str,
        user: Option<&str>,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        limit: u64,
    ) -> Result<(), GuestError> {
        agent::read_file(self.client(), path, user, to, limit).await
    }

    async fn has_program(&self, name: &str) -> Result<bool, GuestError> {
        agent::has_program(self.client(), name).await
    }

    async fn kill_all(&self) -> Result<(), GuestError> {
        self.end_all().await
    }

    async fn ran_out_of_memory(&self) -> bool {
        self.lacked_memory().await
    }

    async fn disk_is_full(&self) -> bool {
        self.lacked_disk().await
    }
}
