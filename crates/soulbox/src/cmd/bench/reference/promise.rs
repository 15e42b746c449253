//! What users of a server are promised, beside what was seen in this run.

use super::super::execute::part::Told;
use super::super::report::{Report, Times};
use super::super::talk::Whom;
use super::language::{MEMORY, START};
use super::scene::Way;
use super::table::{Compared, Line, Target};
use crate::failure::Failure;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::time::Instant;

/// How often the list of sandboxes is asked for.
const CALLS: u32 = 500;

/// What was seen of the server that the promises are about; none: not measured.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Milliseconds.
    api_p95: Option<f64>,
    /// Milliseconds.
    pub(super) execution_p99: Option<f64>,
    /// Milliseconds.
    pub(super) start_p99: Option<f64>,
    /// Megabytes of a million bytes.
    pub(super) memory: Option<f64>,
    pub(super) most_per_second: Most,
    answers: f64,
    failures: f64,
}

/// The most of what was seen.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Most(Option<f64>);

impl Most {
    /// With one more.
    pub(super) fn max(self, other: Option<f64>) -> Self {
        match (self.0, other) {
            (Some(one), Some(other)) => Self(Some(one.max(other))),
            (one, other) => Self(one.or(other)),
        }
    }
}

impl Seen {
    /// Counts what came of a scenario.
    pub(super) fn add(&mut self, told: &Told) {
        self.answers += told.micros.len() as f64;
        self.failures += told.failures;
    }

    /// The percentage of requests that failed.
    fn errors(&self) -> Option<f64> {
        let all = self.answers + self.failures;
        (all > 0.0).then(|| 100.0 * self.failures / all)
    }

    /// The table.
    pub(super) fn table(&self) -> Compared {
        let about = "Of SoulBox in this run. The start is the sandbox's own, before the code's files; memory is that of a Python run.";
        let line = |what: &str, unit, value, target| Line::new(what, unit, [value]).held_to(target);
        Compared::new("What is promised", about, &["SoulBox"])
            .line(line(
                "API (list of sandboxes), p95",
                "ms",
                self.api_p95,
                Target::Below(50.0),
            ))
            .line(line(
                "execution (Python hello), p99",
                "ms",
                self.execution_p99,
                Target::Below(200.0),
            ))
            .line(line("start of a sandbox, p99", "ms", self.start_p99, START))
            .line(line("memory of an execution", "MB", self.memory, MEMORY))
            .line(line(
                "fibonacci(10), most",
                "per second",
                self.most_per_second.0,
                Target::Above(1000.0),
            ))
            .line(line("errors", "%", self.errors(), Target::Below(0.1)))
    }
}

/// Measures a call of the programming interface that runs nothing.
pub(super) async fn measure(
    soulbox: &Way,
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let whom = Whom::server(&soulbox.address, &[("x-api-key", &soulbox.key)])?;
    let mut talk = whom.open().await?;
    let mut times = Times::of("list of sandboxes")?;
    for _ in 0..CALLS {
        let begin = Instant::now();
        let path = "/v2/sandboxes";
        talk.expect(Method::GET, path, Bytes::new(), StatusCode::OK)
            .await?;
        times.add(begin.elapsed());
    }
    seen.api_p95 = Some(times.millis_at(0.95));
    report.times([times]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(good: usize, failures: f64) -> Told {
        Told {
            micros: vec![1; good],
            failures,
            unanswered: 0.0,
            elapsed_us: 1,
            share: 0.0,
        }
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let table = Seen::default().table();
        assert_eq!(table.lines.len(), 6);
        assert!(
            table
                .lines
                .iter()
                .all(|line| line.met.is_none() && line.target.is_some())
        );
    }

    #[test]
    fn errors_are_a_share_of_all_requests() {
        let mut seen = Seen::default();
        seen.add(&told(1998, 0.0));
        seen.add(&told(0, 2.0));
        assert_eq!(seen.errors(), Some(0.1));
        let errors = seen.table().lines.pop().unwrap();
        assert_eq!((errors.unit, errors.met), ("%", Some(false)));
    }

    #[test]
    fn the_most_is_kept() {
        let most = Most::default().max(Some(2.0)).max(None).max(Some(1.0));
        assert_eq!(most, Most(Some(2.0)));
    }
}
