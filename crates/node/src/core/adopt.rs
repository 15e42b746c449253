//! Taking over the sandboxes of an engine that is gone, from the spawner that has outlived it.
//!
//! What runs becomes a [`Sandbox`] as if this engine had made it. What the spawner held besides
//! (pools, creates that were on their way) it has ended; so has it sandboxes whose time had come.
//! Their slots are still taken, and what they kept on disk is there: both are cleared here.

use super::Core;
use super::keep::{Keep, Layer};
use crate::ending::EndedMeanwhile;
use crate::keeper::Spawner;
use crate::node::NodeError;
use crate::note::Note;
use crate::sandbox::{Kept, Sandbox};
use crate::storage::Layer as WritableLayer;
use soulbox_model::{NetworkMode, Phases};
use soulbox_runtime::agent_client::AgentClient;
use soulbox_runtime::native::driver::Held;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

impl Core {
    /// Takes over what runs, each with the note of the one who had asked for it.
    pub(crate) async fn adopt(&self, held: Vec<Held>) -> Result<Vec<(Sandbox, String)>, NodeError> {
        let spawner = self.keeper.get().await?;
        let holder = spawner.holder;
        let mut known = Vec::new();
        for held in held {
            match serde_json::from_str::<Note>(&held.note) {
                Ok(note) if note.spec.is_some() => known.push((held, note)),
                _ => tracing::error!(slot = held.slot, "a sandbox that nobody knows is ended"),
            }
        }
        let layers: HashSet<_> = known
            .iter()
            .filter_map(|(_, note)| Some(note.layer.as_ref()?.name.clone()))
            .collect();
        let storage = Arc::clone(&self.storage);
        let _ = tokio::task::spawn_blocking(move || storage.sweep_own(&layers)).await;
        let running: HashSet<_> = known.iter().map(|(held, _)| held.slot).collect();
        let mark = self.workplace.mark();
        for record in self.table.held()? {
            let ours = record.holder == holder && record.engine == mark;
            if ours && !running.contains(&record.slot) {
                self.clear(&spawner, record.slot);
            }
        }
        let mut adopted = Vec::new();
        for (held, note) in known {
            let (slot, id) = (held.slot, note.id.clone());
            match self.take_over(&spawner, held, note).await {
                Ok(sandbox) => adopted.push(sandbox),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(slot, id = id.as_str(), error, "cannot take a sandbox over");
                }
            }
        }
        if !adopted.is_empty() {
            tracing::info!(count = adopted.len(), "took running sandboxes over");
        }
        Ok(adopted)
    }

    /// How sandboxes ended lately, as the spawner and dead ones before it have written it down.
    pub(crate) async fn ended_meanwhile(&self) -> Vec<EndedMeanwhile> {
        let (journal, past) = (self.keeper.journal(), self.past.clone());
        let read = tokio::task::spawn_blocking(move || {
            let all = past.all().unwrap_or_default();
            let mut told: Vec<_> = all
                .into_iter()
                .map(|ended| EndedMeanwhile::new(ended.id, ended.note, &ended.end))
                .collect();
            let Some(found) = crate::dead::read_journal(&journal) else {
                return told;
            };
            let over = found
                .past
                .into_iter()
                .map(|past| (past.note, Some(past.end)));
            let held = found.held.into_values().map(|held| (held.note, held.end));
            told.extend(over.chain(held).filter_map(|(note, end)| {
                let note: Note = serde_json::from_str(&note?).ok()?;
                Some(EndedMeanwhile::new(note.id, note.callers, &end?))
            }));
            told
        });
        read.await.unwrap_or_default()
    }

    /// Has the spawner give a slot back, if it has not, and frees its number.
    fn clear(&self, spawner: &Spawner, slot: u32) {
        let keep = self.keep(spawner, slot, None);
        // Dropping it asks for that.
        let _ = spawner.driver.open(slot, Box::new(keep));
    }

    fn keep(&self, spawner: &Spawner, slot: u32, layer: Option<WritableLayer>) -> Keep {
        Keep {
            socket: self.workplace.socket(slot),
            layer: Layer::new(Mutex::new(layer)),
            remover: self.storage.remover(),
            lease: Some(self.table.held_lease(spawner.holder, slot)),
        }
    }

    async fn take_over(
        &self,
        spawner: &Spawner,
        held: Held,
        note: Note,
    ) -> Result<(Sandbox, String), NodeError> {
        let Some(spec) = note.spec.clone() else {
            return Err(NodeError::Lease(crate::lease::LeaseError::Full));
        };
        let layer = self
            .storage
            .adopt(held.slot, note.layer.as_ref(), &spec.limits);
        let gauge = layer.gauge.clone();
        let keep = self.keep(spawner, held.slot, Some(layer));
        let slot = spawner
            .driver
            .open_held(held.slot, Box::new(keep), held.paused)?;
        let resolver = match spec.network {
            NetworkMode::None => None,
            // It goes on without names if they cannot be had.
            NetworkMode::Internet => match self.internet().await {
                Ok(internet) => internet.serve(held.resolver).unwrap_or_default(),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a sandbox that was taken over has no names");
                    None
                }
            },
        };
        let agent = self.workplace.socket(held.slot);
        let agent = AgentClient::with_limits(agent, (&self.settings.agent).into());
        let promise = self.promises.keep(&spec.limits);
        let callers = note.callers.clone();
        let sandbox = Sandbox::new(
            note.id.clone(),
            spec,
            held.pid,
            Phases::default(),
            agent,
            (slot, gauge, note),
            Kept {
                _resolver: resolver,
                // The spawner holds its lock.
                template: None,
                // The zygote ended with its engine.
                supplier: None,
                _promise: promise,
                memory_kills: Arc::clone(&self.memory_kills),
                pause_timeout: self.settings.spawner.pause_timeout,
            },
        );
        Ok((sandbox, callers))
    }
}
