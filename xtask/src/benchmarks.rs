//! `docs/benchmarks.md`, made from the JSON that `soulbox bench` printed into `docs/bench/`.

mod compared;

use crate::tell;
use compared::Compared;
use serde::Deserialize;
use std::fmt::Write;
use std::fs;

/// The document.
pub(crate) const PATH: &str = "docs/benchmarks.md";

/// Where the JSON is.
const DIRECTORY: &str = "docs/bench";

/// The questions, in the order of the document, and how each file is made.
const BENCHES: [(&str, &str); 14] = [
    ("create", "soulbox bench create --template base --count 300"),
    ("exec", "soulbox bench exec --template base --count 2000"),
    (
        "run",
        "soulbox bench run --template base --count 500 --at-once 2",
    ),
    (
        "memory",
        "soulbox bench memory --template base --count 1000",
    ),
    ("disk", "soulbox bench disk --count 300 --at-once 50"),
    (
        "limits",
        "soulbox bench limits --template base --seconds 3 --count 10",
    ),
    ("bombs", "soulbox bench bombs --template base --count 1000"),
    ("walls", "soulbox bench walls --template base --count 20"),
    ("leak", "soulbox bench leak --template base --cycles 10000"),
    (
        "kills",
        "soulbox bench leak --template base --kills engine,spawner,agent --cycles 1000",
    ),
    ("store", "cargo bench -p soulbox-store"),
    (
        "serve",
        "soulbox bench serve --template base --parts create,interactive,command,file,idle --count 120 --commands 400",
    ),
    (
        "serve-crowd",
        "soulbox bench serve --template base --parts crowd --seconds 300",
    ),
    ("proxy", "soulbox bench proxy"),
];

/// Those that take templates which not every machine can build: a section each, where the JSON is there. Their marks
/// are in their own tables.
const BUILT: [(&str, &str); 5] = [
    (
        "execute",
        "soulbox bench execute --template base --users 1,10,100,500,1000 --payload fibonacci",
    ),
    (
        "kernels",
        "soulbox bench kernels --template code-interpreter-v1",
    ),
    (
        "reference",
        "soulbox bench reference --template code-interpreter-v1",
    ),
    ("pools", "soulbox bench pools"),
    ("image", "soulbox bench image"),
];

/// Which number of a row is held against a mark.
enum Of {
    P50(f64),
    P99(f64),
    Max(f64),
    /// At most so many times the same percentile of another row.
    P99Times(f64, &'static str),
    P50Times(f64, &'static str),
    AtLeastPerSecond(f64),
    AtLeastPerSecondTimes(f64, &'static str),
    AtMost(f64),
}

/// What the product is held to: bench, row, demand. Times in milliseconds.
const MARKS: [(&str, &str, Of); 69] = [
    ("create", "create, everything fresh", Of::P50(2.5)),
    (
        "create",
        "create, everything fresh",
        Of::P99Times(3.0, "unshare /bin/true, to its end"),
    ),
    ("create", "create, prepared", Of::P50(1.0)),
    ("create", "create, prepared", Of::P99(3.0)),
    ("create", "create, parked", Of::P50(0.2)),
    ("create", "create, parked", Of::P99(1.0)),
    ("exec", "/bin/true in a live sandbox", Of::P50(0.7)),
    ("exec", "/bin/true in a live sandbox", Of::P99(1.5)),
    (
        "run",
        "python hello, fresh sandbox, to its result",
        Of::P50(13.0),
    ),
    (
        "run",
        "python hello, fresh sandbox, to its result",
        Of::P99(20.0),
    ),
    (
        "run",
        "python hello, fresh sandbox, to its removal",
        Of::P50Times(1.0, "python hello, bwrap"),
    ),
    (
        "run",
        "create + true + destroy, everything fresh, 2 at once",
        Of::AtLeastPerSecond(350.0),
    ),
    (
        "run",
        "create + true + destroy, everything fresh, 2 at once",
        Of::AtLeastPerSecondTimes(1.4, "bwrap, 2 at once"),
    ),
    (
        "memory",
        "sandboxes alive at once",
        Of::AtLeastPerSecond(1000.0),
    ),
    (
        "memory",
        "the machine's free memory, each, no network",
        Of::AtMost(600.0),
    ),
    (
        "memory",
        "the machine's free memory, each, internet",
        Of::AtMost(900.0),
    ),
    ("disk", "limit on btrfs, one file, off by", Of::AtMost(2.0)),
    ("disk", "limit on memory, one file, off by", Of::AtMost(2.0)),
    ("limits", "processor time, off by at most", Of::AtMost(5.0)),
    ("limits", "memory, off by at most", Of::AtMost(1.0)),
    ("limits", "killed after its time, sleeps", Of::Max(50.0)),
    (
        "limits",
        "killed after its time, ignores every signal that it can",
        Of::Max(50.0),
    ),
    ("limits", "killed after its time, is stopped", Of::Max(50.0)),
    (
        "limits",
        "killed after its time, has a daemon that holds its output",
        Of::Max(50.0),
    ),
    (
        "limits",
        "killed after its time, forks for ever",
        Of::Max(50.0),
    ),
    (
        "limits",
        "processes that outlived their run",
        Of::AtMost(0.0),
    ),
    ("walls", "getppid, more than on the host", Of::AtMost(5.0)),
    (
        "walls",
        "getppid, more than behind the shortest filter",
        Of::AtMost(5.0),
    ),
    (
        "walls",
        "read of 0 bytes, more than on the host",
        Of::AtMost(5.0),
    ),
    (
        "walls",
        "read of 0 bytes, more than behind the shortest filter",
        Of::AtMost(5.0),
    ),
    ("walls", "fstat, more than on the host", Of::AtMost(5.0)),
    (
        "walls",
        "fstat, more than behind the shortest filter",
        Of::AtMost(5.0),
    ),
    ("leak", "cycles", Of::AtLeastPerSecond(10_000.0)),
    ("leak", "descriptors of the engine", Of::AtMost(0.0)),
    ("kills", "kills", Of::AtLeastPerSecond(1000.0)),
    ("kills", "processes", Of::AtMost(0.0)),
    ("kills", "namespaces", Of::AtMost(0.0)),
    ("kills", "mounts of the host", Of::AtMost(0.0)),
    ("kills", "cgroups", Of::AtMost(0.0)),
    ("kills", "links of the network", Of::AtMost(0.0)),
    ("kills", "rules of the network", Of::AtMost(0.0)),
    ("kills", "files", Of::AtMost(0.0)),
    ("kills", "slots", Of::AtMost(0.0)),
    ("kills", "descriptors of the engine", Of::AtMost(0.0)),
    (
        "store",
        "create's transaction, 1 at once, disk",
        Of::P50(0.5),
    ),
    (
        "store",
        "create's transaction, 16 at once, disk",
        Of::AtLeastPerSecondTimes(2.0, "create's transaction, 1 at once, disk"),
    ),
    ("serve", "create, one was ready", Of::P50(2.0)),
    ("serve", "create, one was ready", Of::P99(10.0)),
    ("serve", "create, none was ready", Of::P50(6.0)),
    ("serve", "create, none was ready", Of::P99(25.0)),
    ("serve", "of use, one was ready", Of::P50(8.0)),
    ("serve", "of use, one was ready", Of::P99(25.0)),
    (
        "serve",
        "of use, 100 at once, 95th percentile",
        Of::AtMost(500.0),
    ),
    ("serve", "failures of 100 at once", Of::AtMost(0.0)),
    ("serve", "bash -l -c true", Of::P50(4.0)),
    (
        "serve",
        "bash -l -c true, 4 at once",
        Of::AtLeastPerSecond(450.0),
    ),
    ("serve", "/bin/true", Of::P50(1.5)),
    (
        "serve",
        "/bin/true, 4 at once",
        Of::AtLeastPerSecond(1500.0),
    ),
    ("serve", "/bin/true, recorded", Of::P50(1.5)),
    (
        "serve",
        "/bin/true, recorded, 4 at once",
        Of::AtLeastPerSecond(1500.0),
    ),
    (
        "serve",
        "a file of 64 MiB sent, median",
        Of::AtLeastPerSecond(400.0),
    ),
    (
        "serve",
        "a file of 64 MiB fetched, median",
        Of::AtLeastPerSecond(400.0),
    ),
    (
        "serve",
        "the server's memory with files of 64 MiB, at most more",
        Of::AtMost(8.0),
    ),
    ("serve", "PSS of the idle server", Of::AtMost(30.0)),
    (
        "serve",
        "PSS of the server for an idle stream",
        Of::AtMost(30.0),
    ),
    ("serve-crowd", "failures with many users", Of::AtMost(0.0)),
    (
        "serve-crowd",
        "PSS of the server with many users, grew by",
        Of::AtMost(4.0),
    ),
    (
        "serve-crowd",
        "descriptors of the server with many users, grew by",
        Of::AtMost(0.0),
    ),
    (
        "proxy",
        "share of the plain reverse proxy's",
        Of::AtLeastPerSecond(50.0),
    ),
];

/// What is measured with a neighbour is held to so many times the 99th percentile without one.
const NEIGHBOURS: (&str, &str, f64) = ("bombs", "/bin/true, nobody beside it", 3.0);

#[derive(Deserialize)]
struct Report {
    machine: Machine,
    load_before: [f64; 3],
    load_after: [f64; 3],
    version: String,
    times: Vec<Row>,
    figures: Vec<Figure>,
    #[serde(default)]
    tables: Vec<Compared>,
}

#[derive(Deserialize)]
struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    linux: String,
    cgroups: String,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    count: u64,
    min_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
    per_second: Option<f64>,
}

#[derive(Deserialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
    good: Option<bool>,
}

/// Writes the document.
pub(crate) fn write() -> Result<(), String> {
    fs::write(PATH, document()?).map_err(|error| format!("{PATH}: {error}"))?;
    tell(&format!("wrote {PATH}"));
    Ok(())
}

/// The document as the JSON says.
pub(crate) fn document() -> Result<String, String> {
    let reports = BENCHES
        .iter()
        .map(|(name, _)| Ok((*name, read(name)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let mut page = String::from(
        "# Benchmarks\n\n<!-- Made by `cargo xtask benchmarks` from docs/bench/*.json. Do not edit. -->\n",
    );
    if let Some((_, first)) = reports.first() {
        let m = &first.machine;
        let _ = write!(
            page,
            "\nMeasured with SoulBox {} on {} x {}, {} MiB, Linux {}, cgroups {}, with the load that each section tells.\n\
             Times are in milliseconds. Other tools were measured in the same run, turn and turn about.\n",
            first.version, m.cores, m.cpu, m.memory_mib, m.linux, m.cgroups
        );
    }
    marks(&reports, &mut page)?;
    for ((name, command), (_, report)) in BENCHES.iter().zip(&reports) {
        section(name, command, report, &mut page);
    }
    for (name, command) in BUILT {
        if fs::exists(file(name)).unwrap_or(false) {
            section(name, command, &read(name)?, &mut page);
        }
    }
    Ok(page)
}

fn section(name: &str, command: &str, report: &Report, page: &mut String) {
    let _ = write!(
        page,
        "\n## {name}\n\n`{command}`, load {:.2} before and {:.2} after.\n\n",
        report.load_before[0], report.load_after[0]
    );
    tables(report, page);
    for table in &report.tables {
        compared::write(table, page);
    }
}

fn file(name: &str) -> String {
    format!("{DIRECTORY}/{name}.json")
}

fn read(name: &str) -> Result<Report, String> {
    let path = file(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}

/// The table of what is demanded and what was found.
fn marks(reports: &[(&str, Report)], page: &mut String) -> Result<(), String> {
    page.push_str("\n## Marks\n\n| What | Mark | Found | |\n|---|---|---|---|\n");
    for (bench, name, of) in &MARKS {
        let report = reports
            .iter()
            .find(|(found, _)| found == bench)
            .map(|(_, report)| report);
        let report = report.ok_or_else(|| format!("no bench is called {bench}"))?;
        let (mark, found, met) = hold(report, name, of)?;
        tell_mark(name, &mark, &found, met, page);
    }
    let (bench, alone, times) = NEIGHBOURS;
    let neighbours = reports.iter().filter(|(found, _)| *found == bench);
    for (_, report) in neighbours {
        for row in report.times.iter().filter(|row| row.name != alone) {
            let (mark, found, met) = hold(report, &row.name, &Of::P99Times(times, alone))?;
            tell_mark(&row.name, &mark, &found, met, page);
        }
    }
    Ok(())
}

fn tell_mark(name: &str, mark: &str, found: &str, met: bool, page: &mut String) {
    let met = if met { "met" } else { "**missed**" };
    let _ = writeln!(page, "| {name} | {mark} | {found} | {met} |");
}

fn hold(report: &Report, name: &str, of: &Of) -> Result<(String, String, bool), String> {
    let row = |name: &str| {
        let row = report.times.iter().find(|row| row.name == name);
        row.ok_or_else(|| format!("the bench has no row {name:?}"))
    };
    let figure = |name: &str| {
        let figure = report.figures.iter().find(|figure| figure.name == name);
        figure.map(|figure| figure.value)
    };
    let ms = |us: f64| us / 1000.0;
    Ok(match of {
        Of::P50(most) => {
            let found = ms(row(name)?.p50_us);
            (
                format!("p50 ≤ {most} ms"),
                format!("{found:.3} ms"),
                found <= *most,
            )
        }
        Of::P99(most) => {
            let found = ms(row(name)?.p99_us);
            (
                format!("p99 ≤ {most} ms"),
                format!("{found:.3} ms"),
                found <= *most,
            )
        }
        Of::Max(most) => {
            let found = ms(row(name)?.max_us);
            (
                format!("max ≤ {most} ms"),
                format!("{found:.3} ms"),
                found <= *most,
            )
        }
        Of::P99Times(times, other) => {
            let (found, other_is) = (ms(row(name)?.p99_us), ms(row(other)?.p99_us));
            let mark = format!("p99 ≤ {times} × {other}");
            (
                mark,
                format!("{found:.3} / {other_is:.3} ms"),
                found <= times * other_is,
            )
        }
        Of::P50Times(times, other) => {
            let (found, other_is) = (ms(row(name)?.p50_us), ms(row(other)?.p50_us));
            let mark = format!("p50 ≤ {times} × {other}");
            (
                mark,
                format!("{found:.3} / {other_is:.3} ms"),
                found <= times * other_is,
            )
        }
        Of::AtLeastPerSecond(least) => {
            let found = match figure(name) {
                Some(value) => value,
                None => row(name)?.per_second.unwrap_or(0.0),
            };
            (format!("≥ {least}"), format!("{found:.0}"), found >= *least)
        }
        Of::AtLeastPerSecondTimes(times, other) => {
            let found = row(name)?.per_second.unwrap_or(0.0);
            let other_is = row(other)?.per_second.unwrap_or(f64::INFINITY);
            let mark = format!("≥ {times} × {other}");
            (
                mark,
                format!("{found:.0} / {other_is:.0} per s"),
                found >= times * other_is,
            )
        }
        Of::AtMost(most) => {
            let found = figure(name).ok_or_else(|| format!("the bench has no figure {name:?}"))?;
            (format!("≤ {most}"), format!("{found:.1}"), found <= *most)
        }
    })
}

fn tables(report: &Report, page: &mut String) {
    if !report.times.is_empty() {
        page.push_str("| ms | count | min | p50 | p90 | p99 | max | per second |\n");
        page.push_str("|---|---|---|---|---|---|---|---|\n");
    }
    for row in &report.times {
        let _ = write!(page, "| {} | {} |", row.name, row.count);
        for us in [row.min_us, row.p50_us, row.p90_us, row.p99_us, row.max_us] {
            let _ = write!(page, " {:.3} |", us / 1000.0);
        }
        let rate = row
            .per_second
            .map_or_else(String::new, |rate| format!("{rate:.0}"));
        let _ = writeln!(page, " {rate} |");
    }
    if !report.figures.is_empty() {
        page.push_str("\n| figure | value | |\n|---|---|---|\n");
    }
    for figure in &report.figures {
        let good = match figure.good {
            Some(true) => "good",
            Some(false) => "**bad**",
            None => "",
        };
        let _ = writeln!(
            page,
            "| {} | {:.1} {} | {good} |",
            figure.name, figure.value, figure.unit
        );
    }
}
