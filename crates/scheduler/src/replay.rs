//! Arrivals played back against a pool: how often something waited, and how much waited in vain.

use crate::demand::{Bounds, Demand};
use crate::forecast::{Forecast, History, Minute};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// How many are to wait.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Always so many.
    Fixed(u32),
    /// As many as came lately want.
    Average(Bounds),
    /// The same, and what the days and weeks before foretell.
    Foreseen(Bounds, Box<History>),
}

/// What a replay showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Played {
    /// How many were asked for.
    pub asked: u64,
    /// For how many of them one waited.
    pub hits: u64,
    /// How many waited, on average.
    pub idle: f64,
    /// By how much forecasts of the worst second of a quarter of an hour were off, on average.
    pub error: Option<f64>,
}

/// Plays `arrivals`, moments in milliseconds in their order, against a pool. `make`: how long one takes to
/// be made, in milliseconds, one after the other.
pub fn play(arrivals: &[u64], until: u64, make: u64, policy: Policy) -> Played {
    let mut pool = Pool::new(policy);
    let begin = arrivals.first().map_or(0, |first| first / SECOND * SECOND);
    let (mut next, mut hits, mut waited) = (0, 0_u64, 0_u64);
    let mut now = begin;
    while now < until {
        pool.look(now);
        let end = now + SECOND;
        while let Some(at) = arrivals.get(next).copied().filter(|at| *at < end) {
            pool.refill(at, make);
            hits += u64::from(pool.take(at));
            next += 1;
        }
        pool.refill(end, make);
        waited += u64::from(pool.ready);
        now = end;
    }
    let seconds = (now - begin) / SECOND;
    Played {
        asked: next as u64,
        hits,
        idle: share(waited, seconds),
        error: pool.error(),
    }
}

/// A pool that is played.
struct Pool {
    policy: Policy,
    demand: Demand,
    forecast: Option<Forecast>,
    minute: (u64, Minute),
    second: (u64, u32),
    off: (f64, u32),
    wanted: u32,
    ready: u32,
    /// When the next one can begin to be made.
    free: u64,
}

impl Pool {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            demand: Demand::default(),
            forecast: None,
            minute: (0, Minute::default()),
            second: (0, 0),
            off: (0.0, 0),
            wanted: 0,
            ready: 0,
            free: 0,
        }
    }

    /// Sets how many are to wait.
    fn look(&mut self, now: u64) {
        self.end_minute(now / MINUTE);
        let foreseen = self.forecast.as_ref().map_or(0, |f| f.at(now / MINUTE));
        self.wanted = match &self.policy {
            Policy::Fixed(count) => *count,
            Policy::Average(bounds) => self.demand.target(now, bounds),
            Policy::Foreseen(bounds, _) => {
                let target = self.demand.target(now, bounds);
                target.max(foreseen.min(bounds.most))
            }
        };
        self.ready = self.ready.min(self.wanted);
    }

    /// Notes a minute that is over, and forecasts anew with each quarter of an hour.
    fn end_minute(&mut self, minute: u64) {
        let Policy::Foreseen(_, history) = &mut self.policy else {
            return;
        };
        let (number, seen) = self.minute;
        if number == minute {
            return;
        }
        history.note(number, seen);
        self.minute = (minute, Minute::default());
        let (old, new) = (Forecast::quarter(number), Forecast::quarter(minute));
        if old == new && self.forecast.is_some() {
            return;
        }
        if let Some(told) = self.forecast.as_ref().and_then(|told| told.of(old)) {
            self.off.0 += (told - f64::from(history.worst(old))).abs();
            self.off.1 += 1;
        }
        self.forecast = history.forecast(minute);
    }

    /// Makes what is lacking until `now`.
    fn refill(&mut self, now: u64, make: u64) {
        while self.ready < self.wanted && self.free + make <= now {
            self.free += make;
            self.ready += 1;
        }
        if self.ready >= self.wanted {
            self.free = self.free.max(now);
        }
    }

    /// True when one waited.
    fn take(&mut self, now: u64) -> bool {
        self.demand.arrive(now);
        let second = now / SECOND;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.minute.1.count += 1;
        self.minute.1.worst = self.minute.1.worst.max(self.second.1);
        let hit = self.ready > 0;
        self.ready -= u32::from(hit);
        hit
    }

    fn error(&self) -> Option<f64> {
        (self.off.1 > 0).then(|| self.off.0 / f64::from(self.off.1))
    }
}

/// A part of a whole, both far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact as far as it matters")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Played {
    /// The part of those who asked for whom one waited, 0 to 1.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits, self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        least: 0,
        most: 42,
        lead: 500,
        keep: 15 * MINUTE,
    };

    #[test]
    fn a_burst_beyond_what_waits_is_cold_and_no_more() {
        let burst = vec![10 * SECOND; 20];
        let mut arrivals = vec![0];
        arrivals.extend(burst);
        let played = play(&arrivals, 20 * SECOND, 10, Policy::Fixed(8));
        // The first one comes before any was made.
        assert_eq!((played.asked, played.hits), (21, 8));
    }

    #[test]
    fn what_came_at_once_waits_the_next_time() {
        let mut arrivals = vec![SECOND; 20];
        arrivals.extend(vec![60 * SECOND; 20]);
        let played = play(&arrivals, 120 * SECOND, 10, Policy::Average(BOUNDS));
        assert_eq!((played.asked, played.hits), (40, 20));
        assert!(played.idle > 15.0);
    }

    #[test]
    fn what_comes_each_day_waits_before_it_comes() {
        let day = 24 * 60;
        let mut history = History::default();
        for number in 0..10 {
            let seen = Minute {
                count: 30,
                worst: 30,
            };
            history.note(number * day + 9 * 60, seen);
        }
        let nine = (10 * day + 9 * 60) * MINUTE;
        let mut arrivals = vec![nine - 60 * MINUTE];
        arrivals.extend(vec![nine; 30]);
        let until = nine + MINUTE;
        let average = play(&arrivals, until, 10, Policy::Average(BOUNDS));
        let foreseen = Policy::Foreseen(BOUNDS, Box::new(history));
        let foreseen = play(&arrivals, until, 10, foreseen);
        assert!(average.hits < 5, "{average:?}");
        assert!(foreseen.hits >= 20, "{foreseen:?}");
        assert!(foreseen.error.is_some());
    }
}
