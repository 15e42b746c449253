//! The way of a zygote's copies into one sandbox.

use super::Zygote;
use crate::core::{Core, Waiting};
use soulbox_runtime::agent_client::{AgentClient, AgentError, Supplies};
use soulbox_runtime::native::driver::{JoinError, Joiner};
use soulbox_wire::connect::{Code, RpcError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Copies that one sandbox gets without a pause, and the pause between further ones: what is inside
/// may ask for as many as it likes, and others wait for the same zygote.
const BURST: u32 = 128;
const PAUSE: Duration = Duration::from_millis(50);

/// Why an agent gets no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupplyError {
    #[error("the zygote is not ready")]
    NotReady,
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("cannot make a control socket")]
    Socket(#[source] rustix::io::Errno),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// The way of a zygote's copies into one sandbox.
pub struct Supplier {
    agent: AgentClient,
    joiner: Joiner,
    zygote: Arc<Zygote>,
    /// Whether a copy waits in it that nobody has used yet.
    ahead: AtomicBool,
    /// The task that supplies it.
    begun: Mutex<Option<JoinHandle<()>>>,
}

impl Supplier {
    pub(crate) fn new(
        agent: AgentClient,
        joiner: Joiner,
        zygote: Arc<Zygote>,
        ahead: bool,
    ) -> Self {
        Self {
            agent,
            joiner,
            zygote,
            ahead: AtomicBool::new(ahead),
            begun: Mutex::new(None),
        }
    }

    /// Makes sure that the agent gets one copy when it asks: one waits there already, or it is supplied.
    pub async fn begin_for_one(self: &Arc<Self>) {
        if !self.ahead.swap(false, Ordering::Relaxed) {
            self.begin().await;
        }
    }

    /// Begins to supply the sandbox's agent with what it asks for, in a task that ends with the
    /// connection; nothing is done when there is one already. Once this is over, the agent asks.
    pub async fn begin(self: &Arc<Self>) {
        let mut begun = self.begun.lock().await;
        if begun.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        match self.agent.supplies(0).await {
            Ok(supplies) => {
                let supplier = Arc::clone(self);
                *begun = Some(tokio::spawn(async move {
                    if let Err(error) = supplier.supply(supplies, u32::MAX).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, "an agent is supplied no more");
                    }
                }));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an agent is not supplied");
            }
        }
    }

    /// Has one copy join, and wait.
    pub(crate) async fn one_ahead(&self) -> Result<(), SupplyError> {
        let supplies = self.agent.supplies(1).await?;
        self.supply(supplies, 1).await
    }

    async fn supply(&self, mut supplies: Supplies, most: u32) -> Result<(), SupplyError> {
        for number in 0..most {
            if number >= BURST {
                tokio::time::sleep(PAUSE).await;
            }
            let want = supplies.next().await?;
            let copied = self.zygote.copy(&self.joiner, &want).await;
            if let Err(error) = &copied {
                let error = error as &dyn std::error::Error;
                tracing::debug!(error, "no copy of a zygote joined a sandbox");
            }
            let answer =
                copied.map_err(|error| RpcError::new(Code::Unavailable, error.to_string()));
            supplies.answer(want.call, answer).await?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Has a copy of its zygote wait in a sandbox that runs.
    pub(crate) async fn supply_ahead(&mut self, core: &Core) -> Result<(), SupplyError> {
        if let Some(supplier) = self.supplier(core) {
            supplier.one_ahead().await?;
            self.ahead = true;
        }
        Ok(())
    }
}
