//! The way to the agent of a sandbox, through the server.

use super::sandbox::Met;
use super::server::Server;
use crate::exit::Exit;
use crate::failure::Failure;
use http::{HeaderMap, HeaderName, HeaderValue};
use soulbox_runtime::agent_client::{AgentClient, AgentLimits, Door};
use soulbox_settings::section::Agent;
use std::sync::Arc;
use std::time::Duration;

/// The port that stands for the agent, as E2B's envd has it.
const PORT: &str = "49983";

/// How long input may wait for a command that does not read: for as long as it runs.
const PATIENCE: Duration = Duration::from_secs(u32::MAX as u64);

/// Two clients of one agent.
pub(crate) struct Way {
    /// For everything but input.
    pub(crate) client: AgentClient,
    /// For input, which waits for the command. Each piece is a request of its own: the server cuts a body
    /// that stands still, and nobody types all the time.
    pub(crate) input: AgentClient,
}

impl Way {
    /// The way to a sandbox.
    ///
    /// # Errors
    /// Its token cannot be sent.
    pub(crate) fn to(server: &Server, sandbox: &Met, limits: &Agent) -> Result<Self, Failure> {
        let wrong = |_| Failure::new(Exit::SERVER, "the server gave a token that cannot be sent");
        let mut headers = HeaderMap::new();
        let id = HeaderValue::from_str(sandbox.sandbox_id.as_str()).map_err(wrong)?;
        headers.insert(HeaderName::from_static("e2b-sandbox-id"), id);
        let port = HeaderValue::from_static(PORT);
        headers.insert(HeaderName::from_static("e2b-sandbox-port"), port);
        if let Some(token) = &sandbox.envd_access_token {
            let mut token = HeaderValue::from_str(token).map_err(wrong)?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-access-token"), token);
        }
        let door = Door {
            authority: server.url().authority(),
            headers,
            connect: Some(Arc::new(server.line().clone())),
        };
        let limits = AgentLimits::from(limits);
        let patient = AgentLimits {
            header: PATIENCE,
            ..limits.clone()
        };
        Ok(Self {
            client: AgentClient::through(door.clone(), limits),
            input: AgentClient::through(door, patient),
        })
    }
}
