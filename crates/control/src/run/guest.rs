//! The sandbox of a run, as running code sees it. The engine's own handle of it is held for moments only, so that
//! whoever ends the sandbox does not wait for the code.

use crate::live::Live;
use soulbox_model::{EndCause, Phases, SandboxId, TemplateName};
use soulbox_node::execute::{AgentGuest, GuestError};
use soulbox_node::{MemoryKill, Usage};
use soulbox_runtime::agent_client::{AgentClient, AgentError};
use soulbox_wire::envd::process::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// The process of a run that was started last: the compiler, then the program.
#[derive(Debug)]
pub struct Leader {
    agent: AgentClient,
    /// Its number inside; 0: there is none yet.
    pid: AtomicU32,
}

impl Leader {
    /// Sends it a signal; false when there is no such process.
    ///
    /// # Errors
    /// The agent cannot be reached.
    pub async fn signal(&self, signal: Signal) -> Result<bool, AgentError> {
        let pid = self.pid.load(Ordering::Relaxed);
        if pid == 0 {
            return Ok(false);
        }
        match self.agent.signal(pid, signal).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The sandbox of a run.
pub(super) struct Inside {
    live: Arc<Live>,
    template: TemplateName,
    leader: Arc<Leader>,
    /// Variables of every command in it. They come with each, for to set them in the sandbox would be a
    /// request more before the code starts.
    variables: BTreeMap<String, String>,
    /// What it had used, where that was asked for before its end.
    last: OnceLock<Usage>,
}

impl Inside {
    pub(super) fn new(
        live: Arc<Live>,
        template: &TemplateName,
        variables: BTreeMap<String, String>,
    ) -> Self {
        let leader = Leader {
            agent: live.agent().clone(),
            pid: AtomicU32::new(0),
        };
        Self {
            template: template.clone(),
            leader: Arc::new(leader),
            variables,
            live,
            last: OnceLock::new(),
        }
    }

    pub(super) fn leader(&self) -> Arc<Leader> {
        Arc::clone(&self.leader)
    }

    pub(super) fn agent(&self) -> &AgentClient {
        self.live.agent()
    }

    pub(super) fn id(&self) -> SandboxId {
        self.live.id()
    }

    pub(super) fn phases(&self) -> Phases {
        self.live.phases().clone()
    }

    /// What it has used, and what Linux killed; of one that has ended, what is known.
    pub(super) async fn used(&self) -> (Usage, Option<MemoryKill>) {
        let Some(sandbox) = self.live.sandbox().await else {
            return (self.last.get().copied().unwrap_or_default(), None);
        };
        let usage = match sandbox.usage().await {
            Ok(usage) => usage,
            Err(_) => self.last.get().copied().unwrap_or_default(),
        };
        (usage, sandbox.memory_kill())
    }
}

impl AgentGuest for Inside {
    fn client(&self) -> &AgentClient {
        self.agent()
    }

    fn template_name(&self) -> String {
        self.template.to_string()
    }

    fn variables(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.variables)
    }

    fn takes_files(&self) -> bool {
        // As for an engine's own sandboxes: it was made for this run.
        true
    }

    async fn before_fork(&self) {
        self.live.supply_one().await;
    }

    fn started(&self, pid: u32) {
        self.leader.pid.store(pid, Ordering::Relaxed);
    }

    async fn end_all(&self) -> Result<(), GuestError> {
        let gone = || GuestError::Gone("the sandbox has ended".into());
        let sandbox = self.live.sandbox().await.ok_or_else(gone)?;
        let killed = sandbox.kill_processes().await;
        killed.map_err(|error| GuestError::Gone(Box::new(error)))
    }

    async fn lacked_memory(&self) -> bool {
        let usage = match self.live.sandbox().await {
            Some(sandbox) => match sandbox.usage().await {
                Ok(usage) => usage,
                // Its first process was what Linux killed.
                Err(_) => sandbox.ended().await,
            },
            None => {
                let cause = self
                    .live
                    .look(|record| record.ended.as_ref().map(|end| end.cause));
                return cause == Some(EndCause::OutOfMemory);
            }
        };
        let _ = self.last.set(usage);
        usage.oom_kills > 0
    }

    async fn lacked_disk(&self) -> bool {
        match self.live.sandbox().await {
            Some(sandbox) => sandbox.disk_is_full(),
            None => false,
        }
    }
}
