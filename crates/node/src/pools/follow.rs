//! How many of each kind are to wait: what follows the demand.

use super::{Asked, Kind, KindKey, Pools, lock};
use crate::core::Core;
use soulbox_model::TeamId;
use soulbox_scheduler::{Bounds, Minute};
use soulbox_settings::section::Pool as Settings;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often targets are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long one takes to be made and the next to be begun, in milliseconds, on a machine that has
/// other things to do.
const LEAD: u64 = 500;

/// A target that sinks by no more than this part of it stays: what is thrown away now would be made
/// again at the next arrival.
const STAYS: u32 = 4;

/// The most of one kind that wait because they are asked for.
const MOST: u32 = 4095;

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

    /// Tells how many of a kind are to wait by the forecast, and by how much those were off. A kind that
    /// nobody has asked for lately is begun.
    pub(crate) async fn expect(
        &self,
        core: &Arc<Core>,
        key: &KindKey,
        (count, error): (u32, Option<f64>),
    ) {
        let known = |kinds: &[Arc<Kind>]| kinds.iter().find(|kind| kind.key() == *key).cloned();
        let mut kind = known(&lock(&self.kinds));
        if kind.is_none() && count > 0 {
            // One that was removed has nothing to wait of.
            let Ok(template) = core.template(&key.spec.template).await else {
                return;
            };
            let asked = Asked {
                template: &template,
                spec: &key.spec,
                team: key.team.as_ref(),
                joined: key.joined,
            };
            let mut kinds = lock(&self.kinds);
            kind = known(&kinds);
            kind = kind.or_else(|| Some(self.renew(core, &asked, &mut kinds)));
        }
        if let Some(kind) = kind {
            kind.foreseen.store(count, Ordering::Relaxed);
            *lock(&kind.error) = error;
        }
    }

    /// What was asked for since this was asked last, by kind.
    pub(crate) fn take_arrivals(&self) -> Vec<(KindKey, Minute)> {
        let kinds = lock(&self.kinds).clone();
        let seen = kinds
            .iter()
            .map(|kind| (kind.key(), lock(&kind.demand).take_minute()));
        seen.filter(|(_, minute)| minute.count > 0).collect()
    }

    /// Each team whose sandboxes are asked for has the same part of the memory, and in it each kind: who
    /// needs less than that leaves it to the others.
    fn set_targets(&self, settings: &Settings) {
        let kinds = lock(&self.kinds).clone();
        let wanted: Vec<_> = kinds
            .iter()
            .map(|kind| self.wanted(kind, settings))
            .collect();
        let bytes = |at: &usize| u64::from(wanted[*at]) * kinds[*at].each();
        let asks = |at: &usize| wanted[*at] > 0;
        let mut by_team: HashMap<Option<&TeamId>, Vec<usize>> = HashMap::new();
        for at in (0..kinds.len()).filter(asks) {
            by_team.entry(kinds[at].team.as_ref()).or_default().push(at);
        }
        let part = settings.memory.bytes() / (by_team.len() as u64).max(1);
        let mut given = vec![0; kinds.len()];
        for of_team in by_team.values() {
            let sizes: Vec<_> = of_team.iter().map(bytes).collect();
            for (at, room) in of_team.iter().zip(shares(part, &sizes)) {
                given[*at] = u32::try_from(room / kinds[*at].each()).unwrap_or(u32::MAX);
            }
        }
        for (kind, beyond) in kinds.iter().zip(given) {
            Self::set_target(kind, beyond);
        }
        let keep = millis(settings.keep);
        let now = self.now();
        lock(&self.kinds).retain(|kind| {
            let last = lock(&kind.demand).last();
            let foreseen = kind.foreseen.load(Ordering::Relaxed) > 0;
            kind.is_kept() || foreseen || last.is_some_and(|last| now.saturating_sub(last) < keep)
        });
    }

    /// How many of a kind the demand wants beyond those that are kept whatever it is.
    fn wanted(&self, kind: &Kind, settings: &Settings) -> u32 {
        let least = kind.least.1;
        let bounds = Bounds {
            least,
            most: if settings.adaptive { MOST } else { least },
            lead: LEAD,
            keep: millis(settings.keep),
        };
        let foreseen = kind.foreseen.load(Ordering::Relaxed).min(bounds.most);
        let target = lock(&kind.demand).target(self.now(), &bounds);
        target.max(foreseen).saturating_sub(least)
    }

    /// Sets how many of a kind are to wait.
    fn set_target(kind: &Kind, beyond: u32) {
        let mut target = kind.least.1.saturating_add(beyond);
        let waits = u32::try_from(kind.parked.level().wanted).unwrap_or(u32::MAX);
        if beyond > 0 && target < waits && waits - target <= (waits / STAYS).max(1) {
            target = waits;
        }
        if target != waits {
            drop(kind.parked.want(target as usize));
        }
    }
}

/// Divides `whole` among those that want `sizes` of it: all have the same part, but nobody more than it wants.
fn shares(whole: u64, sizes: &[u64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| sizes[*at]);
    let (mut left, mut given) = (whole, vec![0; sizes.len()]);
    for (place, at) in order.into_iter().enumerate() {
        let others = (sizes.len() - place) as u64;
        given[at] = sizes[at].min(left / others);
        left -= given[at];
    }
    given
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn who_wants_little_gets_it_and_the_rest_is_shared() {
        assert_eq!(shares(100, &[]), [0; 0]);
        assert_eq!(shares(100, &[500]), [100]);
        assert_eq!(shares(100, &[500, 500]), [50, 50]);
        assert_eq!(shares(100, &[500, 10, 500]), [45, 10, 45]);
        assert_eq!(shares(100, &[20, 10, 30]), [20, 10, 30]);
        assert_eq!(shares(0, &[20]), [0]);
    }
}
