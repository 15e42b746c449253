//! A table that holds what was measured here against what others published.
//!
//! What comes from elsewhere stands in a column of its own, with its source: it was never measured here, and on another
//! machine.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

/// The heading of what comes from elsewhere.
pub(super) const ELSEWHERE: &str = "reference, another machine";

/// A table.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cmd::bench) struct Compared {
    pub(super) title: String,
    /// What was done, in a sentence or two.
    pub(super) about: String,
    /// What was measured here, each in a column. The first is held to the targets.
    pub(super) ways: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cmd::bench) struct Line {
    pub(super) what: String,
    pub(super) unit: &'static str,
    /// One for each way; none where it was not measured.
    pub(super) here: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) elsewhere: Vec<Elsewhere>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<Target>,
    /// Whether the first way is what the target wants; none where one of both is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) met: Option<bool>,
    /// Why something is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// A figure that somebody else measured on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in crate::cmd::bench) struct Elsewhere {
    /// As it was published, with its unit.
    pub(in crate::cmd::bench) value: &'static str,
    pub(in crate::cmd::bench) source: &'static str,
}

/// What is wanted of a figure, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cmd::bench) enum Target {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::Below(bound) => value < bound,
            Self::AtLeast(least) => value >= least,
            Self::Above(bound) => value > bound,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Below(bound) => format!("< {bound}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::Above(bound) => format!("> {bound}"),
        }
    }
}

impl Line {
    /// What was measured, one figure for each way.
    pub(in crate::cmd::bench) fn new(
        what: impl Into<String>,
        unit: &'static str,
        here: impl IntoIterator<Item = Option<f64>>,
    ) -> Self {
        Self {
            what: what.into(),
            unit,
            here: here.into_iter().collect(),
            elsewhere: Vec::new(),
            target: None,
            met: None,
            note: None,
        }
    }

    /// Beside what others published.
    pub(in crate::cmd::bench) fn beside(mut self, elsewhere: &[Elsewhere]) -> Self {
        self.elsewhere.extend_from_slice(elsewhere);
        self
    }

    /// Held to this.
    pub(in crate::cmd::bench) fn held_to(mut self, target: Target) -> Self {
        self.target = Some(target);
        let first = self.here.first().copied().flatten();
        self.met = first.map(|value| target.is_met(value));
        self
    }

    /// With a remark.
    pub(in crate::cmd::bench) fn noting(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// What others published, with the sources.
    pub(super) fn elsewhere_text(&self) -> String {
        let all = self.elsewhere.iter();
        let all = all.map(|one| format!("{} ({})", one.value, one.source));
        all.collect::<Vec<_>>().join("; ")
    }

    /// What is wanted, and whether it is so.
    pub(super) fn target_text(&self) -> String {
        let text = self.target.map(Target::text).unwrap_or_default();
        match self.met {
            Some(true) => format!("{text}, met"),
            Some(false) => format!("{text}, missed"),
            None => text,
        }
    }

    /// The name, with the remark.
    pub(super) fn what_text(&self) -> String {
        match &self.note {
            Some(note) => format!("{} ({note})", self.what),
            None => self.what.clone(),
        }
    }
}

impl Compared {
    /// A table without lines.
    pub(in crate::cmd::bench) fn new(
        title: impl Into<String>,
        about: impl Into<String>,
        ways: &[&str],
    ) -> Self {
        Self {
            title: title.into(),
            about: about.into(),
            ways: ways.iter().map(|way| (*way).to_owned()).collect(),
            lines: Vec::new(),
        }
    }

    /// With one more line.
    pub(in crate::cmd::bench) fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// The headings.
    pub(super) fn headings(&self) -> Vec<String> {
        let mut all = vec![String::new(), "unit".to_owned()];
        all.extend(self.ways.iter().map(|way| format!("{way}, here")));
        all.extend([ELSEWHERE.to_owned(), "target".to_owned()]);
        all
    }

    /// What stands in each line.
    pub(super) fn cells(&self) -> Vec<Vec<String>> {
        let line = |line: &Line| {
            let mut cells = vec![line.what_text(), line.unit.to_owned()];
            let here = |at: usize| line.here.get(at).copied().flatten();
            cells.extend((0..self.ways.len()).map(|at| here(at).map_or_else(String::new, number)));
            cells.extend([line.elsewhere_text(), line.target_text()]);
            cells
        };
        self.lines.iter().map(line).collect()
    }

    /// The table for a terminal.
    pub(in crate::cmd::bench) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(self.headings());
        for cells in self.cells() {
            table.add_row(cells);
        }
        format!("{}: {}\n{}", self.title, self.about, table.trim_fmt())
    }
}

/// A figure with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table with everything that one can have.
    pub(in super::super) fn example() -> Compared {
        let reference = Elsewhere {
            value: "937 ms",
            source: "E2B <self-hosted>",
        };
        Compared::new(
            "Cold & warm",
            "Asked one by one.",
            &["SoulBox", "bubblewrap"],
        )
        .line(
            Line::new("p50", "ms", [Some(4.25), Some(16.0)])
                .beside(&[reference])
                .held_to(Target::AtMost(5.0)),
        )
        .line(Line::new("p99", "ms", [Some(31.0), None]).held_to(Target::Below(20.0)))
        .line(
            Line::new("go", "ms", [None, None])
                .held_to(Target::Below(100.0))
                .noting(Some("no go | here".to_owned())),
        )
    }

    #[test]
    fn what_others_published_is_never_among_what_is_measured() {
        let cells = example().cells();
        assert_eq!(
            cells[0],
            [
                "p50",
                "ms",
                "4.25",
                "16.0",
                "937 ms (E2B <self-hosted>)",
                "≤ 5, met"
            ]
        );
        assert_eq!(cells[1], ["p99", "ms", "31.0", "", "", "< 20, missed"]);
        assert_eq!(cells[2], ["go (no go | here)", "ms", "", "", "", "< 100"]);
        let headings = example().headings();
        assert_eq!(
            headings[2..],
            ["SoulBox, here", "bubblewrap, here", ELSEWHERE, "target"]
        );
    }

    #[test]
    fn bounds_count_or_do_not() {
        assert!(Target::AtMost(5.0).is_met(5.0) && !Target::Below(5.0).is_met(5.0));
        assert!(Target::AtLeast(5.0).is_met(5.0) && !Target::Above(5.0).is_met(5.0));
        assert!(Target::Above(5.0).is_met(5.1) && !Target::AtLeast(5.0).is_met(4.9));
    }

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        assert_eq!(
            [0.0, 0.537, 42.04, 1234.5].map(number),
            ["0", "0.54", "42.0", "1234"]
        );
    }
}
