//! When leases end. Only their whole times are on disk: who keeps one alive does not wait for it.

use crate::entry::LeaseId;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The leases that live.
#[derive(Debug, Default)]
pub(super) struct Leases {
    of: HashMap<LeaseId, (Duration, Instant)>,
    ends: BTreeSet<(Instant, LeaseId)>,
}

impl Leases {
    /// These, each with its whole time from now on.
    pub(super) fn begin(leases: Vec<(LeaseId, Duration)>, now: Instant) -> Self {
        let mut begun = Self::default();
        for (lease, time) in leases {
            begun.add(lease, time, now);
        }
        begun
    }

    /// One more.
    pub(super) fn add(&mut self, lease: LeaseId, time: Duration, now: Instant) {
        self.remove(lease);
        let end = now + time;
        self.of.insert(lease, (time, end));
        self.ends.insert((end, lease));
    }

    /// Gives one its whole time again; `false` if there is none such.
    pub(super) fn renew(&mut self, lease: LeaseId, now: Instant) -> bool {
        let time = self.of.get(&lease).map(|(time, _)| *time);
        if let Some(time) = time {
            self.add(lease, time, now);
        }
        time.is_some()
    }

    /// Lets one end later, once.
    pub(super) fn delay(&mut self, lease: LeaseId, until: Instant) {
        if let Some((_, end)) = self.of.get_mut(&lease) {
            self.ends.remove(&(*end, lease));
            *end = until;
            self.ends.insert((until, lease));
        }
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, lease: LeaseId) {
        if let Some((_, end)) = self.of.remove(&lease) {
            self.ends.remove(&(end, lease));
        }
    }

    /// Whether there is such a lease.
    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.of.contains_key(&lease)
    }

    /// Those whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<LeaseId> {
        let due = self.ends.iter().take_while(|(end, _)| *end <= now);
        due.map(|(_, lease)| *lease).collect()
    }

    /// When the next one ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_lease_ends_later() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ten = Duration::from_secs(10);
        let mut leases = Leases::begin(vec![(LeaseId(1), ten), (LeaseId(2), ten)], start);
        assert!(leases.renew(LeaseId(2), at(5)));
        assert!(!leases.renew(LeaseId(3), at(5)));
        assert_eq!(leases.due(at(9)), []);
        assert_eq!(leases.due(at(10)), [LeaseId(1)]);
        leases.remove(LeaseId(1));
        assert_eq!(leases.next(), Some(at(15)));
        assert_eq!(leases.due(at(15)), [LeaseId(2)]);
    }
}
