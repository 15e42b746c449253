//! A live sandbox as a [`Guest`](crate::execute::Guest): by its agent, and by the host's own counters.

use crate::execute::agent_guest::AgentGuest;
use crate::execute::guest::GuestError;
use crate::sandbox::Sandbox;
use soulbox_runtime::agent_client::AgentClient;

impl AgentGuest for Sandbox {
    fn client(&self) -> &AgentClient {
        self.agent()
    }

    fn template_name(&self) -> String {
        self.template().to_string()
    }

    fn takes_files(&self) -> bool {
        // Its agent is of this very version: code is run in sandboxes that were made for it.
        true
    }

    async fn before_fork(&self) {
        if let Some(supplier) = self.supplier() {
            supplier.begin_for_one().await;
        }
    }

    async fn end_all(&self) -> Result<(), GuestError> {
        let killed = self.kill_processes().await;
        killed.map_err(|error| GuestError::Gone(Box::new(error)))
    }

    async fn lacked_memory(&self) -> bool {
        // A sandbox that has ended tells its last figures.
        let usage = match self.usage().await {
            Ok(usage) => usage,
            Err(_) => self.ended().await,
        };
        usage.oom_kills > 0
    }

    async fn lacked_disk(&self) -> bool {
        self.disk_is_full()
    }
}
