//! What waits gives way to who asks, when the machine has no place left.

use super::{Pools, lock};
use crate::core::{Core, Waiting};
use crate::lease::LeaseError;
use crate::node::CreateError;
use std::time::Duration;

/// How often and after what time it is looked whether the place of one that ended is free: what it wrote on
/// disk may have to be removed first.
const LOOKS: (u32, Duration) = (50, Duration::from_millis(10));

impl Pools {
    /// A place for a new sandbox. If there is none, those that wait are ended for it, the idlest first.
    ///
    /// # Errors
    /// [`LeaseError::Most`] and [`LeaseError::Full`] when nothing waits any more, and other errors of
    /// opening a slot.
    pub(crate) async fn place(&self, core: &Core) -> Result<Waiting, CreateError> {
        let mut opened = core.open_slot().await;
        while lacks_place(&opened) {
            core.places.lack();
            let gave_way = match self.idlest() {
                Some(waiting) => {
                    waiting.end().await;
                    true
                }
                // Whatever is being made now gives way by itself.
                None => core.places.settled().await,
            };
            opened = core.open_slot().await;
            if !gave_way {
                break;
            }
            let mut looks = 0;
            while lacks_place(&opened) && looks < LOOKS.0 {
                tokio::time::sleep(LOOKS.1).await;
                opened = core.open_slot().await;
                looks += 1;
            }
        }
        opened
    }

    /// Takes what will be missed least: a slot, else one of the kind that was asked for longest ago, and of
    /// that what has cost least.
    fn idlest(&self) -> Option<Waiting> {
        if let Some(slot) = self.slots.give_way() {
            return Some(slot);
        }
        let mut kinds = lock(&self.kinds).clone();
        kinds.sort_by_cached_key(|kind| lock(&kind.demand).last());
        let given = |pool: &crate::pool::Pool<Waiting>| pool.give_way();
        kinds
            .iter()
            .find_map(|kind| given(&kind.prepared).or_else(|| given(&kind.parked)))
    }
}

fn lacks_place(opened: &Result<Waiting, CreateError>) -> bool {
    matches!(
        opened,
        Err(CreateError::Lease(
            LeaseError::Most { .. } | LeaseError::Full
        ))
    )
}
