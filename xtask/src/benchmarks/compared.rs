//! Tables that hold what was measured against what others published, as `soulbox bench reference` and `kernels` print
//! them.

use serde::Deserialize;
use std::fmt::Write;

/// A table.
#[derive(Deserialize)]
pub(super) struct Compared {
    title: String,
    about: String,
    ways: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    what: String,
    unit: String,
    here: Vec<Option<f64>>,
    #[serde(default)]
    elsewhere: Vec<Elsewhere>,
    target: Option<Target>,
    met: Option<bool>,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Elsewhere {
    value: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
}

/// Writes a table. What others published has a column of its own.
pub(super) fn write(table: &Compared, page: &mut String) {
    let _ = write!(
        page,
        "\n### {}\n\n{}\n\n| | unit |",
        table.title, table.about
    );
    for way in &table.ways {
        let _ = write!(page, " {way}, here |");
    }
    page.push_str(" reference, another machine | target | |\n|---|---|");
    page.push_str(&"---|".repeat(table.ways.len()));
    page.push_str("---|---|---|\n");
    for line in &table.lines {
        row(line, table.ways.len(), page);
    }
}

fn row(line: &Line, ways: usize, page: &mut String) {
    let note = line.note.as_deref().unwrap_or_default();
    let note = match note.is_empty() {
        true => String::new(),
        false => format!(" ({})", note.replace(['|', '\n'], " ")),
    };
    let _ = write!(page, "| {}{note} | {} |", line.what, line.unit);
    for way in 0..ways {
        match line.here.get(way).copied().flatten() {
            Some(value) => {
                let _ = write!(page, " {value:.2} |");
            }
            None => page.push_str("  |"),
        }
    }
    let elsewhere = line.elsewhere.iter();
    let elsewhere = elsewhere.map(|one| format!("{} ({})", one.value, one.source));
    let target = match line.target {
        None => String::new(),
        Some(Target::AtMost(most)) => format!("≤ {most}"),
        Some(Target::Below(bound)) => format!("< {bound}"),
        Some(Target::AtLeast(least)) => format!("≥ {least}"),
        Some(Target::Above(bound)) => format!("> {bound}"),
    };
    let met = match line.met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    };
    let elsewhere = elsewhere.collect::<Vec<_>>().join("; ");
    let _ = writeln!(page, " {elsewhere} | {target} | {met} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_published_has_a_column_of_its_own() {
        let table = r#"{"title": "T", "about": "A.", "ways": ["SoulBox", "bubblewrap"], "lines": [
            {"what": "p50", "unit": "ms", "here": [6.0, 16.0], "met": false, "target": {"at_most": 5.0},
             "elsewhere": [{"value": "937 ms", "source": "E2B"}]},
            {"what": "go", "unit": "ms", "here": [null, null], "note": "no go"}]}"#;
        let table: Compared = serde_json::from_str(table).unwrap();
        let mut page = String::new();
        write(&table, &mut page);
        assert!(
            page.contains("| p50 | ms | 6.00 | 16.00 | 937 ms (E2B) | ≤ 5 | **missed** |\n"),
            "{page}"
        );
        assert!(
            page.contains("| go (no go) | ms |  |  |  |  |  |\n"),
            "{page}"
        );
    }
}
