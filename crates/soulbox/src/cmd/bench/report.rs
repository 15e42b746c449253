//! Figures, as a table and as JSON.

use super::machine::{Machine, load};
use super::reference::Compared;
use crate::exit::Exit;
use crate::failure::Failure;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Times of one thing, measured many times.
pub(super) struct Times {
    name: String,
    histogram: Histogram<u64>,
    elapsed: Duration,
}

impl Times {
    /// Nothing measured yet.
    pub(super) fn of(name: impl Into<String>) -> Result<Self, Failure> {
        // Microseconds up to a minute, to three digits.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        Ok(Self {
            name: name.into(),
            histogram: histogram.map_err(|error| Failure::of(Exit::INTERNAL, &error))?,
            elapsed: Duration::ZERO,
        })
    }

    /// Adds one.
    pub(super) fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(micros.max(1));
    }

    /// Says how long all of them took together, where they ran side by side.
    pub(super) fn took(&mut self, elapsed: Duration) {
        self.elapsed += elapsed;
    }

    /// What they are called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same times under another name.
    pub(super) fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, ..self }
    }

    /// The time, in milliseconds, that a share of them do not exceed.
    pub(super) fn millis_at(&self, share: f64) -> f64 {
        let micros = self.histogram.value_at_quantile(share);
        f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0
    }

    /// The mean and the standard deviation, in milliseconds.
    pub(super) fn mean_and_deviation(&self) -> (f64, f64) {
        (
            self.histogram.mean() / 1000.0,
            self.histogram.stdev() / 1000.0,
        )
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many came in a second; 0 where nobody said how long all of them took.
    pub(super) fn per_second(&self) -> f64 {
        self.row().per_second.unwrap_or(0.0)
    }

    fn row(&self) -> Row {
        let seconds = self.elapsed.as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // a count of measurements
        let per_second = (seconds > 0.0).then(|| self.histogram.len() as f64 / seconds);
        Row {
            name: self.name.clone(),
            count: self.histogram.len(),
            min_us: self.histogram.min(),
            p50_us: self.histogram.value_at_quantile(0.5),
            p90_us: self.histogram.value_at_quantile(0.9),
            p99_us: self.histogram.value_at_quantile(0.99),
            max_us: self.histogram.max(),
            per_second,
        }
    }
}

/// Percentiles of one thing.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    count: u64,
    min_us: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
}

/// One figure that is not a time.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// Whether it is what it must be; none where nothing is demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<bool>,
}

/// Everything that a question brought to light.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    version: &'static str,
    machine: Machine,
    load_before: [f64; 3],
    load_after: [f64; 3],
    template: String,
    times: Vec<Row>,
    figures: Vec<Figure>,
    /// What is held against figures from elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Compared>,
}

impl Report {
    /// A report without figures; notes the load as it is now.
    pub(super) fn begin(bench: &'static str, template: &str) -> Self {
        Self {
            bench,
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::this(),
            load_before: load(),
            load_after: [0.0; 3],
            template: template.to_owned(),
            times: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Adds a table with what is held against figures from elsewhere.
    pub(super) fn compare(&mut self, table: Compared) {
        self.tables.push(table);
    }

    /// The tables so far.
    pub(super) fn compared(&self) -> &[Compared] {
        &self.tables
    }

    /// What the figures must be read with: version, machine, load, template.
    pub(super) fn circumstances(&self) -> String {
        let [before, ..] = self.load_before;
        let [after, ..] = self.load_after;
        format!(
            "SoulBox {} on {}, template {}, load {before:.2} before and {after:.2} after",
            self.version, self.machine, self.template
        )
    }

    /// Adds measured times; what was never measured is left out.
    pub(super) fn times(&mut self, times: impl IntoIterator<Item = Times>) {
        let measured = times
            .into_iter()
            .filter(|times| !times.histogram.is_empty());
        self.times.extend(measured.map(|times| times.row()));
    }

    /// Adds a figure.
    pub(super) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            good: None,
        });
    }

    /// Adds a figure that must be zero.
    pub(super) fn zero(&mut self, name: impl Into<String>, value: f64) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit: "left",
            good: Some(value == 0.0),
        });
    }

    /// What half of these times do not exceed, in milliseconds.
    pub(super) fn p50(&self, name: &str) -> Option<f64> {
        let row = self.times.iter().find(|row| row.name == name)?;
        Some(row.p50_us as f64 / 1000.0)
    }

    /// How many of these came in a second.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        let row = self.times.iter().find(|row| row.name == name)?;
        row.per_second
    }

    /// A figure.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.name == name)?;
        Some(figure.value)
    }

    /// Notes the load at the end.
    pub(super) fn end(mut self) -> Self {
        self.load_after = load();
        self
    }

    /// Whether every figure is what it must be.
    pub(super) fn passed(&self) -> bool {
        self.figures.iter().all(|figure| figure.good != Some(false))
    }

    /// The report for people.
    pub(super) fn page(&self) -> String {
        let mut page = format!("{}\n", self.machine);
        let [before, ..] = self.load_before;
        let [after, ..] = self.load_after;
        let _ = writeln!(page, "load {before:.2} before, {after:.2} after\n");
        if !self.times.is_empty() {
            let _ = writeln!(page, "{}\n", self.table());
        }
        for table in &self.tables {
            let _ = writeln!(page, "{}\n", table.text());
        }
        for figure in &self.figures {
            let mark = if figure.good == Some(false) {
                "  <- must be 0"
            } else {
                ""
            };
            let _ = writeln!(
                page,
                "{:<50} {:>12.3} {}{mark}",
                figure.name, figure.value, figure.unit
            );
        }
        page.trim_end().to_owned()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([
            "milliseconds",
            "count",
            "min",
            "p50",
            "p90",
            "p99",
            "max",
            "per second",
        ]);
        for row in &self.times {
            let times = [row.min_us, row.p50_us, row.p90_us, row.p99_us, row.max_us];
            let mut cells = vec![row.name.clone(), row.count.to_string()];
            cells.extend(times.map(millis));
            cells.push(
                row.per_second
                    .map_or_else(String::new, |rate| format!("{rate:.0}")),
            );
            table.add_row(cells);
        }
        table.trim_fmt()
    }
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_rates_are_told() {
        let mut times = Times::of("x").unwrap();
        (1..=100).for_each(|millis| times.add(Duration::from_millis(millis)));
        times.took(Duration::from_secs(2));
        let row = times.row();
        assert_eq!((row.count, row.min_us), (100, 1000));
        assert!((49_900..=50_100).contains(&row.p50_us), "{}", row.p50_us);
        assert!((98_800..=99_200).contains(&row.p99_us), "{}", row.p99_us);
        assert_eq!(row.per_second, Some(50.0));
    }

    #[test]
    fn what_is_left_behind_fails_the_report() {
        let mut report = Report::begin("leak", "host");
        report.zero("mounts", 0.0);
        assert!(report.passed());
        report.zero("processes", 1.0);
        assert!(!report.passed());
        assert!(report.page().contains("must be 0"));
    }

    #[test]
    fn milliseconds_keep_their_digits() {
        assert_eq!([millis(7), millis(1234)], ["0.007", "1.234"]);
    }
}
