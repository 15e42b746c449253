//! Figures as bars: a drawing in SVG that needs nothing else.

use super::html::escape;
use super::table::{Compared, Line, number};
use std::fmt::Write as _;

/// How wide the drawing is, and what of it the names take on the left and the figures on the right, in pixels.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 220.0;
const RIGHT: f64 = 130.0;
/// The height of a bar, and the room between groups of them.
const BAR: f64 = 14.0;
const GAP: f64 = 12.0;
/// The room above for the names of what was measured.
const LEGEND: f64 = 26.0;

/// The figures that were measured here, those of the first line's unit; nothing where there are none. What others
/// published is not drawn: it has another machine's length.
pub(super) fn bars(table: &Compared) -> Option<String> {
    let unit = table.lines.first()?.unit;
    let of_unit = |line: &&Line| line.unit == unit && line.here.iter().any(Option::is_some);
    let lines: Vec<&Line> = table.lines.iter().filter(of_unit).collect();
    let figures = lines.iter().flat_map(|line| line.here.iter().flatten());
    let most = figures.copied().fold(0.0, f64::max);
    if most <= 0.0 || !most.is_finite() {
        return None;
    }
    let mut drawn = String::new();
    let mut y = LEGEND;
    for line in &lines {
        group(line, (most, unit), &mut y, &mut drawn);
    }
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH:.0} {y:.0}\" role=\"img\"><title>{}, {unit}</title>\n",
        escape(&table.title),
        unit = escape(unit),
    );
    legend(table, &mut svg);
    svg.push_str(&drawn);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// The bars of one line, one below the other.
fn group(line: &Line, (most, unit): (f64, &str), y: &mut f64, svg: &mut String) {
    let count = line.here.iter().flatten().count();
    let middle = *y + BAR * f64::from(u32::try_from(count).unwrap_or(1)) / 2.0 + 4.0;
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        escape(&line.what)
    );
    for (way, value) in line.here.iter().enumerate() {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            continue;
        };
        let length = (value.max(0.0) / most * (WIDTH - LEFT - RIGHT)).max(1.0);
        let _ = writeln!(
            svg,
            "<rect class=\"way{way}\" x=\"{LEFT:.0}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.0}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{} {}</text>",
            BAR - 2.0,
            LEFT + length + 5.0,
            *y + BAR - 3.5,
            number(value),
            escape(unit),
        );
        *y += BAR;
    }
    *y += GAP;
}

/// Which bar is which.
fn legend(table: &Compared, svg: &mut String) {
    let mut x = LEFT;
    for (way, name) in table.ways.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<rect class=\"way{way}\" x=\"{x:.0}\" y=\"4\" width=\"10\" height=\"10\"/>\
             <text x=\"{:.0}\" y=\"13\">{}</text>",
            x + 15.0,
            escape(name)
        );
        let letters = f64::from(u32::try_from(name.chars().count()).unwrap_or(20));
        x += 40.0 + letters * 7.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Line;
    use super::super::table::tests::example;
    use super::*;

    #[test]
    fn the_longest_bar_takes_all_the_room() {
        let svg = bars(&example()).unwrap();
        // 31 is the most; 16 and 4.25 are to scale.
        for width in ["width=\"410.0\"", "width=\"211.6\"", "width=\"56.2\""] {
            assert!(svg.contains(width), "{width} in {svg}");
        }
        assert_eq!(svg.matches("class=\"value\"").count(), 3, "{svg}");
        assert!(svg.contains("Cold &amp; warm"), "{svg}");
        assert!(
            !svg.contains("937"),
            "what others published is not drawn: {svg}"
        );
    }

    #[test]
    fn nothing_measured_is_no_drawing() {
        let empty = Compared::new("t", "a", &["SoulBox"]);
        assert!(bars(&empty).is_none());
        let nothing = empty.line(Line::new("p50", "ms", [None]));
        assert!(bars(&nothing).is_none());
        let zero = Compared::new("t", "a", &["SoulBox"]).line(Line::new("p50", "ms", [Some(0.0)]));
        assert!(bars(&zero).is_none());
    }
}
