//! The tables and drawings as one page that needs nothing else: no script, no file, no network.

use super::super::report::Report;
use super::plot;
use super::table::Compared;
use std::fmt::Write as _;

/// How it looks, by day and by night.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d1d1f;--paper:#fff;--line:#d8d8dc;--quiet:#66666c;--a:#2563c9;--b:#c2692a;--c:#6f9a3c;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8e8ea;--paper:#161618;--line:#3a3a3e;--quiet:#a0a0a6;--a:#6ea0f5;--b:#e59a5e;--c:#a3cc70;--bad:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px;margin:1rem 0}
div{overflow-x:auto}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
td:first-child{min-width:9rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
p,td.e,th.e{color:var(--quiet)}
td.missed{color:var(--bad);font-weight:600}
svg{width:100%;max-width:760px;font:12px system-ui,sans-serif}
svg text{fill:var(--ink)}svg .value{fill:var(--quiet)}
.way0{fill:var(--a)}.way1{fill:var(--b)}.way2{fill:var(--c)}
";

/// The page.
pub(super) fn page(report: &Report, method: &str) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>SoulBox beside the reference</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>SoulBox beside the reference</h1>\n<p>{}.</p>\n<p>{}</p>\n",
        escape(&report.circumstances()),
        escape(method)
    );
    for table in report.compared() {
        html.push_str(&section(table));
    }
    html.push_str("</body></html>\n");
    html
}

fn section(table: &Compared) -> String {
    let mut html = format!(
        "<section><h2>{}</h2>\n<p>{}</p>\n",
        escape(&table.title),
        escape(&table.about)
    );
    html.push_str(&plot::bars(table).unwrap_or_default());
    html.push_str("<div><table><thead><tr>");
    let figures = 2..2 + table.ways.len();
    let class = |at: usize| match at {
        at if figures.contains(&at) => "n",
        at if at == figures.end => "e",
        _ => "t",
    };
    for (at, heading) in table.headings().iter().enumerate() {
        let _ = write!(html, "<th class=\"{}\">{}</th>", class(at), escape(heading));
    }
    html.push_str("</tr></thead><tbody>\n");
    for (cells, line) in table.cells().iter().zip(&table.lines) {
        html.push_str("<tr>");
        for (at, cell) in cells.iter().enumerate() {
            let class = match (at > figures.end, line.met) {
                (true, Some(false)) => "missed",
                _ => class(at),
            };
            let _ = write!(html, "<td class=\"{class}\">{}</td>", escape(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div></section>\n");
    html
}

/// What HTML and SVG would take for their own.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::example;
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_marks_what_was_missed() {
        let mut report = Report::begin("reference", "host");
        report.compare(example());
        let page = page(&report, "One & only.");
        for forbidden in ["<script", "http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(
            page.contains("<td class=\"missed\">&lt; 20, missed</td>"),
            "{page}"
        );
        assert!(
            page.contains("<td class=\"e\">937 ms (E2B &lt;self-hosted&gt;)</td>"),
            "{page}"
        );
        assert!(page.contains("<td class=\"n\">4.25</td>"), "{page}");
        assert!(page.contains("One &amp; only."), "{page}");
        for tag in [
            "section", "table", "tr", "td", "th", "svg", "text", "div", "p",
        ] {
            let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
            let starts = |end: char| page.matches(&format!("{opened}{end}")).count();
            assert_eq!(
                starts('>') + starts(' '),
                page.matches(&closed).count(),
                "{tag}"
            );
        }
    }
}
