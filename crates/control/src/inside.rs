//! What a sandbox has used, and its processes: by the host's own means, whatever the agent would say.

use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{SandboxId, TeamId};
use soulbox_node::{MemoryKill, Usage};
use soulbox_runtime::native::driver::DriverError;

/// What a sandbox has used so far.
#[derive(Debug, Clone)]
pub struct Used {
    /// By Linux's counters.
    pub usage: Usage,
    /// Whether its file system is full.
    pub disk_full: bool,
    /// The last of its processes that Linux killed for want of memory, where Linux's log may be read.
    pub memory_kill: Option<MemoryKill>,
}

impl Control {
    pub(crate) async fn used(&self, team: &TeamId, id: &SandboxId) -> Result<Used, ControlError> {
        let live = self.of(team, id)?;
        let sandbox = live.sandbox().await;
        let sandbox = sandbox.ok_or_else(|| ControlError::Ended(id.clone()))?;
        let usage = sandbox.usage().await.map_err(|error| failed(id, error))?;
        Ok(Used {
            usage,
            disk_full: sandbox.disk_is_full(),
            memory_kill: sandbox.memory_kill(),
        })
    }

    pub(crate) async fn kill_processes(
        &self,
        team: &TeamId,
        id: &SandboxId,
    ) -> Result<(), ControlError> {
        let live = self.of(team, id)?;
        let sandbox = live.sandbox().await;
        let sandbox = sandbox.ok_or_else(|| ControlError::Ended(id.clone()))?;
        let killed = sandbox.kill_processes().await;
        killed.map_err(|error| failed(id, error))
    }
}

fn failed(id: &SandboxId, source: DriverError) -> ControlError {
    let id = id.clone();
    match source {
        DriverError::Ended => ControlError::Ended(id),
        source => ControlError::Driver { id, source },
    }
}
