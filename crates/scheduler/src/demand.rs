//! How many sandboxes of a kind are to wait, from how many were asked for lately.
//!
//! ```text
//!   target = what comes while one is made (moving average × lead)
//!          + a reserve for as many at once as came in the worst second of late
//! ```
//!
//! Time comes in as milliseconds of any clock that never goes back.

use crate::forecast::Minute;
use std::collections::VecDeque;

/// A second, in which those count as at once.
const SECOND: u64 = 1000;

/// Seconds that are remembered for the reserve: ten minutes.
const REMEMBERED: usize = 600;

/// Seconds whose rate is taken as that of a rush which goes on.
const LATEST: usize = 10;

/// By how much the moving average forgets in a second: half of it in a minute.
const FORGETS: f64 = 0.011_486;

/// What bounds a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Never fewer.
    pub least: u32,
    /// Never more.
    pub most: u32,
    /// How long one takes to be made and another to come, in milliseconds: what comes meanwhile is to
    /// wait already.
    pub lead: u64,
    /// How long after the last arrival none is kept any more, but for `least`, in milliseconds.
    pub keep: u64,
}

/// The arrivals of one kind.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// Arrivals in each of the last seconds, the newest last; the last one is not over.
    seconds: VecDeque<u32>,
    /// The number of that second.
    second: u64,
    /// Arrivals in a second, as a moving average over those that are over.
    rate: f64,
    last: Option<u64>,
    /// How many came.
    total: u64,
    /// What came since it was taken.
    minute: Minute,
}

impl Demand {
    /// Somebody asks for one.
    pub fn arrive(&mut self, now: u64) {
        self.advance(now);
        if let Some(newest) = self.seconds.back_mut() {
            *newest = newest.saturating_add(1);
            self.minute.worst = self.minute.worst.max(*newest);
        }
        self.minute.count = self.minute.count.saturating_add(1);
        self.total = self.total.saturating_add(1);
        self.last = Some(now.max(self.last.unwrap_or(0)));
    }

    /// How many are to wait now.
    pub fn target(&mut self, now: u64, bounds: &Bounds) -> u32 {
        self.advance(now);
        let idle = self
            .last
            .is_none_or(|last| now.saturating_sub(last) >= bounds.keep);
        if idle {
            return bounds.least.min(bounds.most);
        }
        // A rush is answered before its first second is over.
        let latest = self.seconds.iter().rev().take(LATEST).copied().max();
        let rate = self.rate.max(f64::from(latest.unwrap_or(0)));
        let meanwhile = (rate * milliseconds(bounds.lead) / 1000.0).ceil();
        let reserve = self.seconds.iter().copied().max().unwrap_or(0);
        // Both are small, finite and not negative.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest number there is"
        )]
        let wanted = (meanwhile as u32).saturating_add(reserve);
        wanted.max(bounds.least).min(bounds.most)
    }

    /// Arrivals in a second, as a moving average.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How many came so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What came since this was asked last: once a minute, for a [`crate::History`].
    pub fn take_minute(&mut self) -> Minute {
        std::mem::take(&mut self.minute)
    }

    /// When the last one came.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Ends the seconds that are over. A clock that goes back stands still.
    fn advance(&mut self, now: u64) {
        let second = now / SECOND;
        if self.seconds.is_empty() {
            self.seconds.push_back(0);
            self.second = second;
        }
        let over = second.saturating_sub(self.second);
        if over == 0 {
            return;
        }
        let newest = self.seconds.back().copied().unwrap_or(0);
        self.rate += FORGETS * (f64::from(newest) - self.rate);
        // Of a long silence nothing is left but what the average forgets.
        let silent = over - 1;
        self.rate *= (1.0 - FORGETS).powf(milliseconds(silent));
        let kept = usize::try_from(over).unwrap_or(usize::MAX).min(REMEMBERED);
        for _ in 0..kept {
            self.seconds.push_back(0);
        }
        while self.seconds.len() > REMEMBERED {
            self.seconds.pop_front();
        }
        self.second = second;
    }
}

/// A count as a float: exact up to 2^53, which no clock of a machine reaches.
#[expect(clippy::cast_precision_loss, reason = "exact as far as it matters")]
fn milliseconds(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        least: 0,
        most: 50,
        lead: 500,
        keep: 15 * 60 * SECOND,
    };

    #[test]
    fn nothing_is_kept_of_what_nobody_asks_for() {
        let mut demand = Demand::default();
        assert_eq!(demand.target(0, &BOUNDS), 0);
        demand.arrive(1000);
        assert!(demand.target(1000, &BOUNDS) > 0);
        assert_eq!(demand.target(1000 + BOUNDS.keep, &BOUNDS), 0);
        let least = Bounds { least: 3, ..BOUNDS };
        assert_eq!(demand.target(2 * BOUNDS.keep, &least), 3);
    }

    #[test]
    fn a_steady_stream_is_met_with_what_comes_while_one_is_made() {
        let mut demand = Demand::default();
        for n in 0..6000 {
            demand.arrive(n * 100);
        }
        assert!((demand.rate() - 10.0).abs() < 0.1, "{}", demand.rate());
        // Five come in half a second, ten in the worst second.
        assert_eq!(demand.target(600_000, &BOUNDS), 15);
    }

    #[test]
    fn a_burst_is_remembered_for_ten_minutes() {
        let mut demand = Demand::default();
        (0..20).for_each(|_| demand.arrive(5000));
        assert!(demand.target(60_000, &BOUNDS) >= 20);
        assert!(demand.target(5000 + 601 * SECOND, &BOUNDS) < 5);
    }

    proptest! {
        #[test]
        fn a_target_stays_within_its_bounds(
            steps in prop::collection::vec((0_u64..200_000, 0_u32..80), 0..60),
            least in 0_u32..10,
            most in 0_u32..100,
        ) {
            let bounds = Bounds { least, most, ..BOUNDS };
            let mut demand = Demand::default();
            let mut now: u64 = 0;
            for (gap, arrivals) in steps {
                now += gap;
                (0..arrivals).for_each(|_| demand.arrive(now));
                let target = demand.target(now, &bounds);
                prop_assert!(target <= most);
                prop_assert!(target >= least.min(most));
                prop_assert!(demand.rate().is_finite() && demand.rate() >= 0.0);
                // A clock that goes back changes nothing for the worse.
                demand.arrive(now.saturating_sub(5000));
                prop_assert!(demand.seconds.len() <= REMEMBERED);
            }
        }
    }
}
