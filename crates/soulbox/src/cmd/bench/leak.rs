//! What is left behind after many cycles, also of sandboxes that are killed at random moments.
//!
//! | What | File |
//! |---|---|
//! | many cycles of one engine | here |
//! | engines, spawners and agents killed again and again | `kills` |
//! | the engine that is killed | `victim` |
//! | what belongs to an engine, and what is left of it | `owned` |

mod kills;
mod owned;
mod victim;

use super::Common;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use kills::Victim;
use owned::{Owned, children, spawners};
use rustix::process::{Pid, Signal, kill_process};
use soulbox_model::NetworkMode;
use soulbox_node::{Node, Sandbox};
use std::fs;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench leak
  soulbox bench leak --cycles 10000 --json > leak.json
  soulbox bench leak --kills engine,spawner,agent --cycles 1000";

/// How long after the last sandbox its connections are closed.
const SETTLE: Duration = Duration::from_secs(1);

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
    /// Kill these at random moments instead, as often as there are cycles, and look what is left
    #[arg(long, value_name = "WHO", value_enum, value_delimiter = ',')]
    kills: Vec<Victim>,
    /// Repeat the moments and choices of an earlier run
    #[arg(long, value_name = "NUMBER", requires = "kills")]
    seed: Option<u32>,
    /// Be the engine that is killed
    #[arg(long, hide = true)]
    as_engine: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    /// Whether this is the engine to be killed, which reports nothing.
    pub(super) fn is_engine(&self) -> bool {
        self.as_engine
    }

    /// Whether somebody is to be killed.
    pub(super) fn kills(&self) -> bool {
        !self.kills.is_empty()
    }
}

/// Kills engines, spawners and agents.
pub(super) fn measure_kills(global: &Global, args: &Args) -> Result<Report, Failure> {
    kills::measure(global, args)
}

/// Is the engine to be killed.
pub(super) async fn be_engine(global: &Global, args: &Args) -> Result<(), Failure> {
    victim::work(global, args).await
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("leak", &args.common.template);
    let settings = global.settings(Vec::new())?;
    let mut owned = Owned::new(&settings)?;
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
        cycle(&node, args, number, &mut owned).await?;
    }
    node.pools_filled().await;
    tokio::time::sleep(SETTLE).await;
    let before = Inventory::take();

    let bar = Progress::bar("making and ending sandboxes", u64::from(args.cycles));
    let mut times = Times::of("create + true + destroy or kill")?;
    let begin = Instant::now();
    for number in 0..args.cycles {
        let begin = Instant::now();
        cycle(&node, args, number, &mut owned).await?;
        times.add(begin.elapsed());
        bar.advance(1);
    }
    times.took(begin.elapsed());
    drop(bar);
    node.pools_filled().await;
    tokio::time::sleep(SETTLE).await;
    let after = Inventory::take();
    owned.note(std::process::id());
    node.stop().await;
    drop(node);
    report.times([times]);
    report.figure("cycles", f64::from(args.cycles), "");
    for ((name, before), (_, after)) in before.0.into_iter().zip(after.0) {
        report.zero(name, (after - before).max(0.0));
    }
    for (kind, things) in owned.left(None) {
        report.zero(kind, count(things.len()));
    }
    Ok(report.end())
}

async fn cycle(node: &Node, args: &Args, number: u32, owned: &mut Owned) -> Result<(), Failure> {
    let network = match number % CONNECTED {
        0 => NetworkMode::Internet,
        _ => NetworkMode::None,
    };
    let spec = bed::spec(node, &args.common.template, network)?;
    let sandbox = engine::create(node, spec).await?;
    owned.note_sandbox(sandbox.slot(), sandbox.pid());
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

/// How many there are of what an engine that goes on must not lose.
struct Inventory([(&'static str, f64); 4]);

impl Inventory {
    fn take() -> Self {
        let me = std::process::id();
        let spawner = spawners(me).first().copied().unwrap_or(0);
        let mounts = |pid: u32| {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"));
            count(mounts.unwrap_or_default().lines().count())
        };
        let descriptors = |pid: u32| {
            let entries = fs::read_dir(format!("/proc/{pid}/fd"));
            count(entries.into_iter().flatten().count())
        };
        Self([
            ("mounts of the spawner", mounts(spawner)),
            ("descriptors of the engine", descriptors(me)),
            ("descriptors of the spawner", descriptors(spawner)),
            ("processes of the spawner", count(children(spawner).len())),
        ])
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
