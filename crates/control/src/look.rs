//! What is asked about sandboxes beyond their records: what they use, what ended, what happened.

use crate::control::Control;
use crate::error::ControlError;
use crate::samples::Sample;
use soulbox_model::{Moment, SandboxId, SandboxRecord, TeamId};

/// The most ended sandboxes that are told at once.
pub const MOST_ENDED: usize = 1000;

impl Control {
    pub(crate) fn samples(
        &self,
        team: &TeamId,
        id: &SandboxId,
        from: Option<Moment>,
        to: Option<Moment>,
    ) -> Result<Vec<Sample>, ControlError> {
        Ok(self.of(team, id)?.samples.between(from, to))
    }

    /// The newest sample of each; those that are not there, and those without one, are left out.
    pub(crate) fn latest(&self, team: &TeamId, ids: &[SandboxId]) -> Vec<(SandboxId, Sample)> {
        let latest = |id: &SandboxId| {
            let live = self.of(team, id).ok()?;
            Some((id.clone(), live.samples.last()?))
        };
        ids.iter().filter_map(latest).collect()
    }

    /// The last that ended, the newest first.
    pub(crate) async fn ended_of(
        &self,
        team: &TeamId,
        limit: usize,
    ) -> Result<Vec<SandboxRecord>, ControlError> {
        Ok(self.records.ended(team, limit.min(MOST_ENDED)).await?)
    }
}
