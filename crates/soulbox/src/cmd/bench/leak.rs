//! What is left behind after many cycles, also of sandboxes that are killed at random moments.

use super::Common;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use rustix::process::{Pid, Signal, kill_process};
use soulbox_model::NetworkMode;
use soulbox_node::{Node, Sandbox};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench leak
  soulbox bench leak --cycles 10000 --json > leak.json";

/// Linux takes network namespaces down in the background, 30 to 130 ms after their last process.
const SETTLE: Duration = Duration::from_secs(5);

/// The host ids of sandboxes: 4,096 ranges of 65,536.
const IDS: std::ops::RangeInclusive<u32> = 0x7000_0000..=0x7fff_ffff;

/// Every how many cycles one is killed at a random moment.
const KILLED: u32 = 4;

/// Every how many cycles one has a network.
const CONNECTED: u32 = 10;

/// Flags of `soulbox bench leak`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many sandboxes are made and ended; every fourth is killed at a random moment
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("leak", &args.common.template);
    let settings = global.settings(Vec::new())?;
    let node = bed::start(
        global,
        Ready {
            slots: 8,
            ..Ready::default()
        },
    )
    .await?;
    node.pools_filled().await;
    // The first cycles bring in what stays: connections, threads, caches.
    for number in 0..CONNECTED + 1 {
        cycle(&node, args, number).await?;
    }
    node.pools_filled().await;
    tokio::time::sleep(SETTLE).await;
    let before = Inventory::take(&settings.paths.data_dir, &settings.paths.run_dir);

    let bar = Progress::bar("making and ending sandboxes", u64::from(args.cycles));
    let mut times = Times::of("create + true + destroy or kill")?;
    let begin = Instant::now();
    for number in 0..args.cycles {
        let begin = Instant::now();
        cycle(&node, args, number).await?;
        times.add(begin.elapsed());
        bar.advance(1);
    }
    times.took(begin.elapsed());
    drop(bar);
    node.pools_filled().await;
    tokio::time::sleep(SETTLE).await;
    let after = Inventory::take(&settings.paths.data_dir, &settings.paths.run_dir);
    node.stop().await;
    report.times([times]);
    report.figure("cycles", f64::from(args.cycles), "");
    for ((name, before), (_, after)) in before.0.into_iter().zip(after.0) {
        report.zero(name, (after - before).max(0.0));
    }
    Ok(report.end())
}

async fn cycle(node: &Node, args: &Args, number: u32) -> Result<(), Failure> {
    let network = match number % CONNECTED {
        0 => NetworkMode::Internet,
        _ => NetworkMode::None,
    };
    let spec = bed::spec(node, &args.common.template, network)?;
    let sandbox = engine::create(node, spec).await?;
    let ran = if number.is_multiple_of(KILLED) {
        kill(&sandbox, number).await
    } else {
        bed::run(&sandbox, &["/bin/true"]).await
    };
    sandbox.destroy().await;
    ran
}

/// Kills the first process of a sandbox while a command of it runs. The moment is spread evenly
/// over the first two milliseconds, in which a command starts, by the golden ratio.
async fn kill(sandbox: &Sandbox, number: u32) -> Result<(), Failure> {
    let fraction = (f64::from(number) * 0.618_033_988_75).fract();
    let pid = i32::try_from(sandbox.pid()).ok().and_then(Pid::from_raw);
    let killed = async {
        tokio::time::sleep(Duration::from_secs_f64(fraction * 0.002)).await;
        pid.map_or(Ok(()), |pid| kill_process(pid, Signal::KILL))
    };
    // The command fails or not, depending on the moment.
    let (_, killed) = tokio::join!(bed::run(sandbox, &["/bin/sleep", "10"]), killed);
    killed.map_err(|error| Failure::new(Exit::INTERNAL, "cannot kill the sandbox").because(&error))
}

/// How many there are of what a sandbox takes.
struct Inventory(Vec<(&'static str, f64)>);

impl Inventory {
    fn take(data: &Path, run: &Path) -> Self {
        let spawner = spawner();
        let mounts = |pid: &str| lines(&format!("/proc/{pid}/mountinfo"));
        let descriptors = |pid: &str| names(Path::new(&format!("/proc/{pid}/fd")));
        let processes = processes();
        Self(vec![
            ("processes", count(processes.len())),
            ("namespaces", count(namespaces(&processes))),
            ("mounts of the host", mounts("self")),
            (
                "mounts of the spawner",
                spawner.as_deref().map_or(0.0, mounts),
            ),
            ("descriptors of the engine", descriptors("self")),
            (
                "descriptors of the spawner",
                spawner.as_deref().map_or(0.0, descriptors),
            ),
            ("cgroups", count(directories(Path::new("/sys/fs/cgroup")))),
            ("links of the network", names(Path::new("/sys/class/net"))),
            ("files", count(files(data) + files(run))),
        ])
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn lines(path: &str) -> f64 {
    count(fs::read_to_string(path).unwrap_or_default().lines().count())
}

fn names(directory: &Path) -> f64 {
    count(fs::read_dir(directory).into_iter().flatten().count())
}

/// The ids of our own processes: those below this one, and those that run as an id of a sandbox,
/// whoever their parent is now. Others on the machine come and go as they like.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let ids = ids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    ids.filter(|id| is_ours(id)).collect()
}

fn is_ours(id: &str) -> bool {
    let first = |id: &str, key: &str| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(key))?;
        value.split_whitespace().next()?.parse::<u32>().ok()
    };
    if first(id, "Uid:").is_some_and(|uid| IDS.contains(&uid)) {
        return true;
    }
    let me = std::process::id();
    let mut parent = first(id, "PPid:");
    while let Some(above) = parent.filter(|above| *above > 1) {
        if above == me {
            return true;
        }
        parent = first(&above.to_string(), "PPid:");
    }
    false
}

/// How many different namespaces processes are in.
fn namespaces(processes: &[String]) -> usize {
    let mut seen = BTreeSet::new();
    for id in processes {
        let entries = fs::read_dir(format!("/proc/{id}/ns"))
            .into_iter()
            .flatten()
            .flatten();
        seen.extend(entries.filter_map(|entry| fs::read_link(entry.path()).ok()));
    }
    seen.len()
}

/// The id of our spawner.
fn spawner() -> Option<String> {
    let me = std::process::id();
    let children = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).ok()?;
    children.split_whitespace().next().map(str::to_owned)
}

fn directories(root: &Path) -> usize {
    walk(root, &|kind| kind.is_dir())
}

fn files(root: &Path) -> usize {
    walk(root, &|kind| !kind.is_dir())
}

fn walk(root: &Path, counts: &dyn Fn(fs::FileType) -> bool) -> usize {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let each = entries.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?)));
    each.map(|(path, kind)| {
        let below = if kind.is_dir() {
            walk(&path, counts)
        } else {
            0
        };
        below + usize::from(counts(kind))
    })
    .sum()
}
