//! How many of each kind are to wait: what follows the demand.

use super::{Asked, Kind, Pools, lock};
use crate::core::Core;
use soulbox_model::TeamId;
use soulbox_scheduler::Bounds;
use soulbox_settings::section::Pool as Settings;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How often targets are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long one takes to be made and the next to be begun, in milliseconds, on a machine that has
/// other things to do.
const LEAD: u64 = 500;

/// A target that sinks by no more than this part of it stays: what is thrown away now would be made
/// again at the next arrival.
const STAYS: u32 = 4;

impl Pools {
    /// Sets how many of each kind are to wait, from now on and for as long as there are pools.
    pub(crate) fn follow_demand(self: &Arc<Self>, core: &Arc<Core>) {
        let pools = Arc::downgrade(self);
        let core = Arc::clone(core);
        let follow = async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(pools) = pools.upgrade() else {
                    return;
                };
                pools.renew_all(&core).await;
                pools.set_targets(&core.settings().pool);
            }
        };
        lock(&self.tasks).push(tokio::spawn(follow));
    }

    /// Kinds whose template was built anew begin anew; those whose template was removed end.
    async fn renew_all(&self, core: &Arc<Core>) {
        let old: Vec<_> = lock(&self.kinds)
            .iter()
            .filter(|kind| !kind.template.is_current())
            .cloned()
            .collect();
        for old in old {
            let template = core.template(&old.spec.template).await;
            let mut kinds = lock(&self.kinds);
            if !kinds.iter().any(|kind| Arc::ptr_eq(kind, &old)) {
                continue;
            }
            match template {
                Ok(template) => {
                    let asked = Asked {
                        template: &template,
                        spec: &old.spec,
                        team: old.team.as_ref(),
                        joined: old.joined,
                    };
                    self.renew(core, &asked, &mut kinds);
                }
                Err(_) => kinds.retain(|kind| !Arc::ptr_eq(kind, &old)),
            }
        }
    }

    /// Each team has the same part of the memory. In it those that are asked for most come first.
    fn set_targets(&self, settings: &Settings) {
        let mut kinds = lock(&self.kinds).clone();
        kinds.sort_by(|a, b| lock(&b.demand).rate().total_cmp(&lock(&a.demand).rate()));
        let teams: HashSet<Option<TeamId>> = kinds.iter().map(|kind| kind.team.clone()).collect();
        let part = settings.memory.bytes() / (teams.len() as u64).max(1);
        for team in teams {
            let mut left = part;
            for kind in kinds.iter().filter(|kind| kind.team == team) {
                left = left.saturating_sub(self.set_target(kind, settings, left));
            }
        }
        let keep = millis(settings.keep);
        let now = self.now();
        lock(&self.kinds).retain(|kind| {
            let last = lock(&kind.demand).last();
            kind.is_kept() || last.is_some_and(|last| now.saturating_sub(last) < keep)
        });
    }

    /// Sets how many of a kind are to wait, within `left` bytes; gives how many bytes they take.
    fn set_target(&self, kind: &Kind, settings: &Settings, left: u64) -> u64 {
        let least = kind.least.1;
        let most = u32::try_from(left / kind.each()).unwrap_or(u32::MAX);
        let most = match settings.adaptive {
            true => least.saturating_add(most),
            false => least,
        };
        let bounds = Bounds {
            least,
            most,
            lead: LEAD,
            keep: millis(settings.keep),
        };
        let mut target = lock(&kind.demand).target(self.now(), &bounds);
        let wanted = u32::try_from(kind.parked.level().wanted).unwrap_or(u32::MAX);
        if target > least && target < wanted && wanted - target <= (wanted / STAYS).max(1) {
            target = wanted.min(most);
        }
        if target != wanted {
            drop(kind.parked.want(target as usize));
        }
        u64::from(target.saturating_sub(least)) * kind.each()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
