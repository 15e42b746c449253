//! The way to the agent of a sandbox, through the server.

use crate::sandboxes::Met;
use crate::server::Server;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};
use soulbox_agent_client::{AgentClient, AgentLimits, Door};
use soulbox_settings::section::Agent;
use std::sync::Arc;
use std::time::Duration;

/// A token that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("the server gave a token that cannot be sent")]
pub struct TokenError(#[from] InvalidHeaderValue);

/// The port that stands for the agent, as E2B's envd has it.
const AGENT: &str = "49983";
/// The port that stands for kernels.
const KERNELS: &str = "49999";

/// How long input may wait for a command that does not read: for as long as it runs.
const PATIENCE: Duration = Duration::from_secs(u32::MAX as u64);

/// The clients of one sandbox's agent.
#[derive(Debug, Clone)]
pub struct Way {
    /// For everything but input.
    pub client: AgentClient,
    /// For input, which waits for the command. Each piece is a request of its own: the server cuts a body
    /// that stands still, and nobody types all the time.
    pub input: AgentClient,
    /// For kernels.
    pub kernels: AgentClient,
}

impl Way {
    /// The way to a sandbox.
    ///
    /// # Errors
    /// Its token cannot be sent.
    pub fn to(server: &Server, sandbox: &Met, limits: &Agent) -> Result<Self, TokenError> {
        let limits = AgentLimits::from(limits);
        let patient = AgentLimits {
            header: PATIENCE,
            ..limits.clone()
        };
        let envd = sandbox.envd_access_token.as_deref();
        let agent = door(server, sandbox, AGENT, ("x-access-token", envd))?;
        let traffic = sandbox.rest.get("trafficAccessToken");
        let traffic = traffic.and_then(|token| token.as_str());
        let kernels = door(server, sandbox, KERNELS, (TRAFFIC, traffic))?;
        Ok(Self {
            client: AgentClient::through(agent.clone(), limits.clone()),
            input: AgentClient::through(agent, patient),
            kernels: AgentClient::through(kernels, limits),
        })
    }

    /// The way to a sandbox on this machine, by its agent's own socket.
    #[cfg(feature = "embedded")]
    pub(crate) fn here(client: &AgentClient) -> Self {
        Self {
            client: client.clone(),
            input: client.clone(),
            kernels: client.clone(),
        }
    }
}

/// The header with the token of traffic to a sandbox's ports.
const TRAFFIC: &str = "e2b-traffic-access-token";

/// The door to a port of a sandbox.
fn door(
    server: &Server,
    sandbox: &Met,
    port: &'static str,
    (name, token): (&'static str, Option<&str>),
) -> Result<Door, TokenError> {
    let mut headers = HeaderMap::new();
    let id = HeaderValue::from_str(sandbox.sandbox_id.as_str())?;
    headers.insert(HeaderName::from_static("e2b-sandbox-id"), id);
    let port = HeaderValue::from_static(port);
    headers.insert(HeaderName::from_static("e2b-sandbox-port"), port);
    if let Some(token) = token {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), token);
    }
    Ok(Door {
        authority: server.url().authority(),
        headers,
        connect: Some(Arc::new(server.line().clone())),
    })
}
