//! The tables of the reference that SoulBox was designed against, measured here, beside what was published.
//!
//! What others published stands in a column of its own, with its source, and in no drawing: it was found on other
//! machines. What is compared in earnest is measured in the same run, turn and turn about: bubblewrap for each request
//! behind a small HTTP server, and a plain process.
//!
//! | What | File |
//! |---|---|
//! | what is asked of whom, for how long | [`scene`] |
//! | cold start, throughput, processors | [`load`] |
//! | memory of the whole service | [`service_memory`] |
//! | languages | [`language`] |
//! | what users of a server are promised | [`promise`] |
//! | figures of others | [`published`] |
//! | tables; as Markdown, as a page, as drawings | [`table`], [`markdown`], [`html`], [`plot`] |

mod html;
mod language;
mod load;
mod markdown;
mod plot;
mod promise;
pub(super) mod published;
mod scene;
mod service_memory;
pub(super) mod table;

pub(super) use table::Compared;

use super::Common;
use super::execute::{Payload, end};
use super::report::Report;
use super::serve::interactive::{Order, time_to_use};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{self, Progress};
use promise::Seen;
use scene::{Method, Scene, Way};
use std::fs;
use std::path::{Path, PathBuf};
use table::Line;
use tokio::process::Child;

const EXAMPLES: &str = "\
Examples:
  soulbox bench reference --template code-interpreter-v1 --output reference
  soulbox bench reference --template code-interpreter-v1 --reference --output reference
  soulbox bench reference --parts cold,throughput --users 1,10 --json";

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The whole service's memory, idle and with so many runs at once
    Memory,
    /// Python that says hello, one user
    Cold,
    /// Runs of fibonacci(10) in a second by so many users
    Throughput,
    /// Processors that so many runs in a second take
    Cpu,
    /// Start, run and memory of Python, JavaScript, Go and Java
    Languages,
    /// Time to interactive as ComputeSDK defines it
    Interactive,
}

/// Flags of `soulbox bench reference`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to measure; everything when left out
    #[arg(long, value_name = "PART,…", value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Measure as long as the reference did: 60 seconds that do not count, then 300, for each scenario
    #[arg(long, conflicts_with_all = ["seconds", "warm_up"])]
    reference: bool,
    /// How many seconds each scenario is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many seconds come before that and do not count
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warm_up: u64,
    /// How many users ask at once for throughput
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1,10,100,500,1000", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    users: Vec<u32>,
    /// How many runs are asked for in a second while processors are looked at
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "10,100,500,1000", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    rates: Vec<u32>,
    /// How many runs are there at once while memory is looked at
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1,10,100", value_parser = clap::value_parser!(u32).range(1..=4000))]
    concurrent: Vec<u32>,
    /// How many sandboxes are made until they are of use, in each order
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
    sandboxes: u32,
    /// Leave out the other means
    #[arg(long)]
    alone: bool,
    /// Write reference.json, reference.md and reference.html into this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn method(&self) -> Method {
        match self.reference {
            true => Method::REFERENCE,
            false => Method {
                warm_up: self.warm_up,
                seconds: self.seconds,
            },
        }
    }

    /// How many scenarios there are, with so many ways each.
    fn steps(&self, ways: usize) -> u64 {
        let of = |part, count: usize| if self.wants(part) { count } else { 0 };
        let steps = of(Part::Cold, ways)
            + of(Part::Throughput, ways * self.users.len())
            + of(Part::Cpu, ways * self.rates.len())
            + of(Part::Memory, self.concurrent.len())
            + of(Part::Languages, language::COUNT)
            + of(Part::Interactive, Order::ALL.len());
        steps as u64
    }
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    if let Some(directory) = &args.output {
        // Before all the work: whoever cannot write there wants to know now.
        fs::create_dir_all(directory).map_err(|error| unwritten(directory, &error))?;
    }
    let program = std::env::current_exe().map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    let settings = global.settings(Vec::new())?;
    let mut report = Report::begin("reference", &args.common.template);
    let mut children = Vec::new();
    let scene = Scene {
        program,
        data_dir: settings.paths.data_dir.clone(),
        method: args.method(),
        template: args.common.template.clone(),
        progress: Progress::bar("measuring", args.steps(scene::ways(args.alone))),
    };
    let done = all(&scene, args, &mut report, &mut children).await;
    for child in children {
        end(child).await;
    }
    done?;
    let method = scene.method.text();
    drop(scene);
    let report = report.end();
    if let Some(directory) = &args.output {
        write(directory, &report, &method)?;
    }
    Ok(report)
}

async fn all(
    scene: &Scene,
    args: &Args,
    report: &mut Report,
    children: &mut Vec<Child>,
) -> Result<(), Failure> {
    let mut seen = Seen::default();
    // With a server of its own, which has done nothing else yet.
    if args.wants(Part::Memory) {
        service_memory::measure(scene, &args.concurrent, report, &mut seen).await?;
    }
    let soulbox = scene.serve(&[], children).await?;
    scene.until_ready(&soulbox).await?;
    if args.wants(Part::Cold) {
        let ways = scene
            .ways(&soulbox, Payload::Hello, args.alone, children)
            .await?;
        load::cold(scene, &ways, report, &mut seen).await?;
    }
    if args.wants(Part::Throughput) || args.wants(Part::Cpu) {
        let ways = scene
            .ways(&soulbox, Payload::Fibonacci, args.alone, children)
            .await?;
        if args.wants(Part::Throughput) {
            load::throughput(scene, &ways, &args.users, report, &mut seen).await?;
        }
        if args.wants(Part::Cpu) {
            load::cpu(scene, &ways, &args.rates, report, &mut seen).await?;
        }
    }
    if args.wants(Part::Languages) {
        language::measure(scene, &soulbox, report, &mut seen).await?;
    }
    if args.wants(Part::Interactive) {
        interactive(scene, &soulbox, args.sandboxes, report).await?;
    }
    promise::measure(&soulbox, report, &mut seen).await?;
    report.compare(seen.table());
    Ok(())
}

/// Time to interactive in each order.
async fn interactive(
    scene: &Scene,
    soulbox: &Way,
    count: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let about = format!(
        "{count} sandboxes in each order, each from the request for it until a first command's output is there."
    );
    let mut table = Compared::new(
        "Time to interactive, as ComputeSDK defines it",
        about,
        &[soulbox.name],
    );
    for order in Order::ALL {
        let (times, failures) = time_to_use(
            &soulbox.address,
            &soulbox.key,
            &scene.template,
            count,
            order,
        )
        .await?;
        let lost = (failures > 0).then(|| format!("{failures} of {count} failed"));
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let at = (times.count() > 0).then(|| times.millis_at(share));
            let line = Line::new(format!("{}, {name}", order.word()), "ms", [at]);
            table = table.line(line.noting(lost.clone()));
        }
        report.zero(
            format!("failures, time to interactive, {}", order.word()),
            failures.into(),
        );
        report.times([times]);
        scene.progress.advance(1);
    }
    report.compare(table);
    Ok(())
}

fn write(directory: &Path, report: &Report, method: &str) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report);
    let json = json.map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    for (name, text) in [
        ("reference.json", format!("{json}\n")),
        ("reference.md", markdown::document(report, method)),
        ("reference.html", html::page(report, method)),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    terminal::warn(&format!("wrote reference.* into {}", directory.display()));
    Ok(())
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot write {}", path.display());
    Failure::new(Exit::HOST, what).because(error)
}
