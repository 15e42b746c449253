//! How many will be asked for at once, by the days and weeks before.
//!
//! Kept are the minutes in which somebody asked, with the worst second of each. What is forecast is the
//! worst second of each quarter of an hour: so many are to wait when it begins. Days and weeks are told apart
//! from what goes on by MSTL (augurs); the rest goes on as it was in the last hours.

use augurs_core::{Fit, Forecast as Points, Predict};
use augurs_mstl::{FittedTrendModel, MSTLModel, TrendModel};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Minutes in a quarter of an hour, quarters in a day and in a week.
const QUARTER: u64 = 15;
const DAY: usize = 96;
const WEEK: usize = 7 * DAY;

/// The quarters that are looked at: four weeks.
const REMEMBERED: usize = 4 * WEEK;

/// How many quarters are forecast: two hours.
const AHEAD: usize = 8;

/// A forecast tells so many minutes before what is to wait.
const BEFORE: u64 = 2;

/// What goes on is the mean of so many quarters: six hours.
const GOES_ON: usize = 24;

/// What came in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    /// How many.
    pub count: u32,
    /// How many in its worst second.
    pub worst: u32,
}

/// What was asked for of one kind.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By their numbers, of any clock; only those in which somebody asked.
    minutes: BTreeMap<u64, Minute>,
}

/// What is forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The number of the first quarter that is forecast.
    first: u64,
    /// The worst second of each quarter.
    worst: Vec<f64>,
}

impl History {
    /// Notes a minute. What is older than four weeks is forgotten.
    pub fn note(&mut self, number: u64, minute: Minute) {
        if minute.count == 0 {
            return;
        }
        let kept = self.minutes.entry(number).or_default();
        kept.count = kept.count.saturating_add(minute.count);
        kept.worst = kept.worst.max(minute.worst);
        let oldest = number.saturating_sub(REMEMBERED as u64 * QUARTER);
        while let Some(first) = self.minutes.first_entry() {
            if *first.key() >= oldest {
                break;
            }
            first.remove();
        }
    }

    /// The worst second of a quarter of an hour.
    pub fn worst(&self, quarter: u64) -> u32 {
        let minutes = self
            .minutes
            .range(quarter * QUARTER..(quarter + 1) * QUARTER);
        minutes.map(|(_, minute)| minute.worst).max().unwrap_or(0)
    }

    /// Forecasts what comes from `minute` on, of the quarters that are over. None before two days are
    /// known, or where the past has no pattern to go on with.
    pub fn forecast(&self, minute: u64) -> Option<Forecast> {
        let now = minute / QUARTER;
        let (first, _) = self.minutes.first_key_value()?;
        let first = (first / QUARTER).max(now.saturating_sub(REMEMBERED as u64));
        let past: Vec<f64> = (first..now)
            .map(|quarter| f64::from(self.worst(quarter)))
            .collect();
        let mut periods = vec![DAY];
        if past.len() <= 2 * DAY {
            return None;
        }
        if past.len() > 2 * WEEK {
            periods.push(WEEK);
        }
        let model = MSTLModel::new(periods, GoesOn).fit(&past).ok()?;
        let points = model.predict(AHEAD, None).ok()?;
        let usable = points.point.iter().all(|worst| worst.is_finite());
        usable.then_some(Forecast {
            first: now,
            worst: points.point,
        })
    }
}

impl Forecast {
    /// How many are to wait at a minute: what the worst second of this quarter takes, and of the next one
    /// when that is near.
    pub fn at(&self, minute: u64) -> u32 {
        let of = |minute: u64| self.of(minute / QUARTER).unwrap_or(0.0);
        let worst = of(minute).max(of(minute + BEFORE));
        // Less than half of one is none.
        if worst < 0.5 {
            return 0;
        }
        // Not negative and finite.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest number there is"
        )]
        let wanted = worst.ceil() as u32;
        wanted
    }

    /// The worst second of a quarter, not below none.
    pub fn of(&self, quarter: u64) -> Option<f64> {
        let at = usize::try_from(quarter.checked_sub(self.first)?).ok()?;
        self.worst.get(at).map(|worst| worst.max(0.0))
    }

    /// The quarter of an hour that a minute is in.
    pub fn quarter(minute: u64) -> u64 {
        minute / QUARTER
    }
}

/// Goes on as it was lately.
#[derive(Debug)]
struct GoesOn;

#[derive(Debug)]
struct Mean {
    mean: f64,
    of: usize,
}

type ModelError = Box<dyn std::error::Error + Send + Sync + 'static>;

impl TrendModel for GoesOn {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed("mean of the last hours")
    }

    fn fit(&self, y: &[f64]) -> Result<Box<dyn FittedTrendModel + Sync + Send>, ModelError> {
        let last = y.iter().rev().take(GOES_ON);
        let count = u32::try_from(last.len()).unwrap_or(u32::MAX).max(1);
        Ok(Box::new(Mean {
            mean: last.sum::<f64>() / f64::from(count),
            of: y.len(),
        }))
    }
}

impl FittedTrendModel for Mean {
    fn predict_inplace(
        &self,
        horizon: usize,
        _level: Option<f64>,
        forecast: &mut Points,
    ) -> Result<(), ModelError> {
        forecast.point = vec![self.mean; horizon];
        Ok(())
    }

    fn predict_in_sample_inplace(
        &self,
        _level: Option<f64>,
        forecast: &mut Points,
    ) -> Result<(), ModelError> {
        forecast.point = vec![self.mean; self.of];
        Ok(())
    }

    fn training_data_size(&self) -> Option<usize> {
        Some(self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 60;

    /// Thirty at once, at nine each day.
    fn nine_each_day(days: u64) -> History {
        let mut history = History::default();
        for day in 0..days {
            let minute = Minute {
                count: 60,
                worst: 30,
            };
            history.note(day * 24 * HOUR + 9 * HOUR, minute);
        }
        history
    }

    #[test]
    fn what_comes_each_day_is_foreseen() {
        let history = nine_each_day(10);
        let nine = 10 * 24 * HOUR + 9 * HOUR;
        let forecast = history.forecast(nine - HOUR).unwrap();
        let (before, at) = (forecast.at(nine - 30), forecast.at(nine - 1));
        assert!(before <= 3, "{before} of {forecast:?}");
        assert!((20..=40).contains(&at), "{at} of {forecast:?}");
    }

    #[test]
    fn a_day_is_no_pattern_and_the_oldest_are_forgotten() {
        assert_eq!(nine_each_day(2).forecast(30 * HOUR), None);
        let mut history = nine_each_day(1);
        let late = 100 * 24 * HOUR;
        history.note(late, Minute { count: 1, worst: 1 });
        assert_eq!(history.minutes.len(), 1);
        assert_eq!(history.worst(Forecast::quarter(late)), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn no_past_breaks_it(
            minutes in prop::collection::vec((0_u64..50_000, 0_u32..5000), 0..60),
            now in 0_u64..60_000,
        ) {
            let mut history = History::default();
            for (number, count) in minutes {
                history.note(number, Minute { count, worst: count });
            }
            if let Some(forecast) = history.forecast(now) {
                prop_assert!(forecast.at(now) < 1_000_000);
            }
        }
    }
}
