//! What happens to sandboxes, told to whoever follows.
//!
//! Nothing waits for a follower: one that falls behind loses the oldest and is told how many
//! ([`tokio::sync::broadcast::error::RecvError::Lagged`]). The store keeps what was lost here.

use soulbox_model::{Event, SandboxId, TeamId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// How many events a follower may be behind, and how many one that comes back finds again.
pub const BEHIND: usize = 1024;

/// Something that happened to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Its own name; those of one sandbox are in the order of time.
    pub id: String,
    /// Whose sandbox it is.
    pub team: TeamId,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// What happened.
    pub event: Event,
}

/// Where events are told.
#[derive(Debug)]
pub struct Hub {
    sender: broadcast::Sender<Arc<Happened>>,
    last: Mutex<VecDeque<Arc<Happened>>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND),
            last: Mutex::default(),
        }
    }
}

impl Hub {
    /// Tells everybody.
    pub(crate) fn tell(&self, happened: Happened) {
        let happened = Arc::new(happened);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == BEHIND {
            last.pop_front();
        }
        last.push_back(Arc::clone(&happened));
        // Nobody may be there.
        let _ = self.sender.send(happened);
    }

    /// What happens from now on, to all sandboxes.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Happened>> {
        self.sender.subscribe()
    }

    /// The last that happened to the sandboxes of a team since the server started, the oldest first, and all
    /// that happens from now on to all sandboxes; nothing in between is missed or told twice.
    pub fn recent(
        &self,
        team: &TeamId,
    ) -> (Vec<Arc<Happened>>, broadcast::Receiver<Arc<Happened>>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of_team = last.iter().filter(|happened| happened.team == *team);
        (of_team.cloned().collect(), self.follow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::{EventKind, Moment};
    use tokio::sync::broadcast::error::TryRecvError;

    fn happened(number: usize, team: &str) -> Happened {
        Happened {
            id: number.to_string(),
            team: team.parse().unwrap(),
            sandbox: "i1".parse().unwrap(),
            event: Event {
                at: Moment::now(),
                kind: EventKind::Created,
                cause: None,
                detail: String::new(),
            },
        }
    }

    #[test]
    fn who_falls_behind_is_told_how_far_and_what_is_kept_is_bounded() {
        let hub = Hub::default();
        let mut follower = hub.follow();
        for number in 0..BEHIND + 7 {
            hub.tell(happened(number, "default"));
        }
        assert_eq!(follower.try_recv(), Err(TryRecvError::Lagged(7)));
        assert_eq!(follower.try_recv().unwrap().id, "7");
        let (recent, _) = hub.recent(&"default".parse().unwrap());
        assert_eq!(recent.len(), BEHIND);
        assert_eq!(recent.first().unwrap().id, "7");
    }

    #[test]
    fn a_team_does_not_hear_of_another_ones() {
        let hub = Hub::default();
        hub.tell(happened(1, "other"));
        assert!(hub.recent(&"default".parse().unwrap()).0.is_empty());
    }
}
