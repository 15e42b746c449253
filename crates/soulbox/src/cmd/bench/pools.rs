//! Pools that follow the demand beside one of a fixed size: arrivals of weeks, played back.
//!
//! Nothing is made: it is counted what would have waited. Two weeks are the past that forecasts know; the
//! day after them is played.

use super::report::Report;
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_scheduler::{Bounds, History, Minute, Played, Policy, play};
use std::f64::consts::TAU;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  soulbox bench pools
  soulbox bench pools --arrivals moments.txt --json

A file of arrivals has one moment a line: milliseconds since any midnight, in their order.";

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The days of the past. The one after them is played, a weekday as the first one was.
const PAST: u64 = 15;

/// Flags of `soulbox bench pools`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recorded arrivals, the last day of which is played; those that are made up are played too
    #[arg(long, value_name = "FILE")]
    arrivals: Option<PathBuf>,
    /// How many wait in the pool of a fixed size
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    fixed: u32,
    /// The most that may wait
    #[arg(long, value_name = "COUNT", default_value_t = 21)]
    most: u32,
    /// How long one takes to be made, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    make: u64,
    /// What one that waits takes, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 6)]
    each: u32,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn measure(args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("pools", "none");
    let mut random = Random(7);
    let mut all = vec![
        ("offices", offices(&mut random)),
        ("each hour 20 at once", hourly()),
        ("bursts at any time", bursts(&mut random)),
        ("one a minute", rare(&mut random)),
    ];
    if let Some(path) = &args.arrivals {
        all.insert(0, ("recorded", recorded(path)?));
    }
    for (name, arrivals) in all {
        compare(args, &mut report, name, &arrivals);
    }
    Ok(report.end())
}

fn compare(args: &Args, report: &mut Report, name: &str, arrivals: &[u64]) {
    let end = arrivals.last().map_or(0, |last| last / DAY + 1) * DAY;
    let split = arrivals.partition_point(|at| *at < end.saturating_sub(DAY));
    let (past, day) = arrivals.split_at(split);
    let bounds = Bounds {
        least: 0,
        most: args.most,
        lead: 500,
        keep: 15 * MINUTE,
    };
    let foreseen = Policy::Foreseen(bounds, Box::new(history(past)));
    let policies = [
        (
            format!("fixed at {}", args.fixed),
            Policy::Fixed(args.fixed),
        ),
        ("moving average".to_owned(), Policy::Average(bounds)),
        ("forecast".to_owned(), foreseen),
    ];
    for (policy, how) in policies {
        let played: Played = play(day, end, args.make, how);
        let idle = played.idle * f64::from(args.each);
        let rate = played.hit_rate() * 100.0;
        report.figure(format!("{name}, {policy}: one waited"), rate, "%");
        report.figure(format!("{name}, {policy}: idle memory"), idle, "MiB");
        if let Some(error) = played.error {
            report.figure(format!("{name}, {policy}: off by"), error, "sandboxes");
        }
    }
}

fn history(arrivals: &[u64]) -> History {
    let mut history = History::default();
    let mut rest = arrivals;
    while let Some(first) = rest.first() {
        let minute = first / MINUTE;
        let of_minute = rest.partition_point(|at| at / MINUTE == minute);
        let (these, others) = rest.split_at(of_minute);
        let seconds = these.chunk_by(|a, b| a / SECOND == b / SECOND);
        let worst = seconds.map(<[u64]>::len).max().unwrap_or(0);
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let seen = Minute {
            count: count(these.len()),
            worst: count(worst),
        };
        history.note(minute, seen);
        rest = others;
    }
    history
}

fn recorded(path: &PathBuf) -> Result<Vec<u64>, Failure> {
    let wrong = |what: String| Failure::new(Exit::USAGE, format!("{path:?}: {what}"));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let moments = text.lines().map(|line| line.trim().parse::<u64>());
    let moments: Result<Vec<_>, _> = moments.collect();
    let moments = moments.map_err(|error| wrong(format!("a line is no moment: {error}")))?;
    match moments.is_sorted() {
        true => Ok(moments),
        false => Err(wrong("moments are not in their order".to_owned())),
    }
}

/// The same numbers each time (`SplitMix64`).
struct Random(u64);

impl Random {
    /// 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / f64::from(u32::MAX)
    }

    /// A time until the next of those that come so often a second, in milliseconds.
    fn gap(&mut self, rate: f64) -> u64 {
        let seconds = -(1.0 - self.next()).max(1e-9).ln() / rate.max(1e-6);
        u64::try_from(std::time::Duration::from_secs_f64(seconds.min(1e6)).as_millis())
            .unwrap_or(u64::MAX)
    }
}

/// Up to two a second in the middle of a day, none at night, a tenth at weekends.
fn offices(random: &mut Random) -> Vec<u64> {
    let rate = |at: u64| {
        let hour = f64::from(u32::try_from(at % DAY / MINUTE).unwrap_or(0)) / 60.0;
        let day = ((hour - 6.0) / 24.0 * TAU).sin().max(0.0) * 2.0;
        match at / DAY % 7 {
            5 | 6 => day / 10.0,
            _ => day,
        }
    };
    // Two a second, of which those stay that the hour has.
    let (mut all, mut at) = (Vec::new(), 0);
    while at < (PAST + 1) * DAY {
        if random.next() < rate(at) / 2.0 {
            all.push(at);
        }
        at += random.gap(2.0).max(1);
    }
    all
}

fn hourly() -> Vec<u64> {
    (0..(PAST + 1) * 24)
        .flat_map(|hour| vec![hour * HOUR + MINUTE; 20])
        .collect()
}

/// Twenty within two seconds, once in two hours on average.
fn bursts(random: &mut Random) -> Vec<u64> {
    let (mut all, mut at) = (Vec::new(), HOUR);
    while at < (PAST + 1) * DAY {
        all.extend((0..20).map(|n| at + n * 100));
        at += random.gap(1.0 / 7200.0) + 3 * SECOND;
    }
    all
}

fn rare(random: &mut Random) -> Vec<u64> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < (PAST + 1) * DAY {
        all.push(at);
        at += random.gap(1.0 / 60.0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_in_order_and_the_same_each_time() {
        let made = |seed| bursts(&mut Random(seed));
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        for all in [made(1), rare(&mut Random(1)), hourly()] {
            assert!(all.is_sorted() && all.len() > 100);
        }
    }

    #[test]
    fn a_past_has_the_worst_second_of_its_minutes() {
        let history = history(&[0, 10, 999, 1000, 16 * MINUTE]);
        assert_eq!((history.worst(0), history.worst(1)), (3, 1));
    }
}
