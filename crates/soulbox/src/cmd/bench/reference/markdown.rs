//! The tables as Markdown.

use super::super::report::Report;
use super::table::Compared;
use std::fmt::Write as _;

/// The document.
pub(super) fn document(report: &Report, method: &str) -> String {
    let mut page = format!(
        "# SoulBox beside the reference\n\n{}.\n\n{method}\n",
        report.circumstances()
    );
    for table in report.compared() {
        page.push('\n');
        page.push_str(&section(table));
    }
    page
}

fn section(table: &Compared) -> String {
    let mut text = format!(
        "## {}\n\n{}\n\n",
        escape(&table.title),
        escape(&table.about)
    );
    row(&table.headings(), &mut text);
    row(&vec!["---".to_owned(); table.headings().len()], &mut text);
    for cells in table.cells() {
        row(&cells, &mut text);
    }
    text
}

fn row(cells: &[String], text: &mut String) {
    let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// What Markdown would take for its own.
fn escape(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::example;
    use super::*;

    #[test]
    fn a_table_is_told() {
        let told = section(&example());
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines[4..],
            [
                "|  | unit | SoulBox, here | bubblewrap, here | reference, another machine | target |",
                "| --- | --- | --- | --- | --- | --- |",
                "| p50 | ms | 4.25 | 16.0 | 937 ms (E2B &lt;self-hosted>) | ≤ 5, met |",
                "| p99 | ms | 31.0 |  |  | &lt; 20, missed |",
                "| go (no go \\| here) | ms |  |  |  | &lt; 100 |",
            ]
        );
    }
}
