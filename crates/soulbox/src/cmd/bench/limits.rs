//! How exactly limits hold: processor time, memory, and the time of a run.

use super::Common;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::{ByteSize, Cause, Language, Limits, NetworkMode};
use soulbox_node::execute::{Capture, Execution, Program, execute};
use soulbox_node::{Node, Sandbox};
use soulbox_runtime::native::cgroup::Layout;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench limits
  soulbox bench limits --seconds 20 --count 100 --json > limits.json";

/// Limits of processor time, in thousandths of a CPU; those beyond the machine are left out.
const CPUS: [u32; 5] = [100, 250, 500, 1000, 1500];

/// Limits of memory.
const MEMORIES: [ByteSize; 3] = [ByteSize::mib(64), ByteSize::mib(256), ByteSize::gib(1)];

/// What a run does that is to end at its time. The first word is the row's.
const OVERSTAYING: [(&str, &str); 5] = [
    ("sleeps", "sleep 1000"),
    (
        "ignores every signal that it can",
        "trap '' TERM INT HUP QUIT; while :; do sleep 1000; done",
    ),
    ("is stopped", "kill -STOP $$; sleep 1000"),
    (
        "has a daemon that holds its output",
        "(setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &) ; sleep 1000",
    ),
    (
        "forks for ever",
        "perl -e 'fork while 1' & perl -e 'fork while 1'",
    ),
];

/// How long those runs may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// How long a load runs before it is measured: until its quota has been used up for the first
/// time.
const WARM: Duration = Duration::from_millis(500);

/// Flags of `soulbox bench limits`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How long each limit of processor time is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How many runs of each kind overstay their time
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("limits", &args.common.template);
    let progress = Progress::spinner("processor time");
    let node = bed::start(global, Ready::default()).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut worst: f64 = 0.0;
    for millis in CPUS {
        if millis as usize > cores * 1000 {
            continue;
        }
        let limit = f64::from(millis) / 1000.0;
        let used = cpu(&node, args, millis).await?;
        let off = (used / limit - 1.0) * 100.0;
        worst = worst.max(off.abs());
        report.figure(format!("processor time of {limit} CPU, off by"), off, "%");
    }
    report.figure("processor time, off by at most", worst, "%");

    progress.say("memory");
    let mut worst: f64 = 0.0;
    for memory in MEMORIES {
        let off = memory_used(&node, args, memory).await?;
        worst = worst.max(off.abs());
        report.figure(format!("memory of {memory}, off by"), off, "%");
    }
    report.figure("memory, off by at most", worst, "%");

    progress.say("time");
    let mut left = 0;
    for (what, code) in OVERSTAYING {
        let (killed, told, alive) = overstay(&node, args, what, code).await?;
        report.times([killed, told]);
        left += alive;
    }
    report.zero("processes that outlived their run", f64::from(left));
    drop(progress);
    node.stop().await;
    Ok(report.end())
}

async fn make(
    node: &Node,
    args: &Args,
    change: impl FnOnce(Limits) -> Limits,
) -> Result<Sandbox, Failure> {
    let mut spec = bed::spec(node, &args.common.template, NetworkMode::None)?;
    spec.limits = change(spec.limits);
    engine::create(node, spec).await
}

/// The processor time that endless loops get in a second, in seconds.
async fn cpu(node: &Node, args: &Args, millis: u32) -> Result<f64, Failure> {
    let sandbox = make(node, args, |limits| Limits {
        cpu_millis: millis,
        ..limits
    })
    .await?;
    let loops = millis.div_ceil(1000);
    let code = format!("for i in $(seq {loops}); do (while :; do :; done) & done; wait");
    let words = ["/bin/sh", "-c", &code];
    let run = bed::run(&sandbox, &words);
    let measured = async {
        tokio::time::sleep(WARM).await;
        let members = members(&sandbox);
        let before = (Instant::now(), cpu_time(&members));
        tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
        let after = (cpu_time(&members), before.0.elapsed());
        after.0.saturating_sub(before.1).as_secs_f64() / after.1.as_secs_f64()
    };
    let used = tokio::select! {
        ended = run => {
            ended?;
            return Err(Failure::new(Exit::INTERNAL, "the loops ended"));
        }
        used = measured => used,
    };
    sandbox.destroy().await;
    Ok(used)
}

/// The processes of a sandbox, by their numbers on the host.
fn members(sandbox: &Sandbox) -> Vec<u32> {
    let layout = Layout::of_host().unwrap_or_default();
    let list: Option<PathBuf> = layout.hierarchies.first().map(|hierarchy| {
        let group = hierarchy.mount.join("soulbox");
        group.join(format!("s{}/cgroup.procs", sandbox.slot()))
    });
    let text = list.and_then(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The time that processes have run, as Linux's scheduler counts it.
fn cpu_time(pids: &[u32]) -> Duration {
    let nanos = pids.iter().filter_map(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// How far from its limit a sandbox was when Linux ended what asked for more, in percent.
async fn memory_used(node: &Node, args: &Args, memory: ByteSize) -> Result<f64, Failure> {
    let sandbox = make(node, args, |limits| Limits {
        memory,
        memory_max: memory,
        ..limits
    })
    .await?;
    // It keeps what it reads until a line ends, which never does.
    let ended = bed::run(&sandbox, &["/usr/bin/tail", "-n", "1", "/dev/zero"]).await;
    let usage = sandbox.destroy().await;
    if ended.is_ok() || usage.oom_kills == 0 {
        return Err(Failure::new(Exit::INTERNAL, "memory did not run out"));
    }
    #[allow(clippy::cast_precision_loss)] // percent of bytes
    let part = usage.peak_memory.bytes() as f64 / memory.bytes() as f64;
    Ok((part - 1.0) * 100.0)
}

/// How long after their time the last process of runs is killed, and their result told; and how
/// many processes are left after them.
async fn overstay(
    node: &Node,
    args: &Args,
    what: &str,
    code: &'static str,
) -> Result<(Times, Times, u32), Failure> {
    let mut killed = Times::of(format!("killed after its time, {what}"))?;
    let mut told = Times::of(format!("told after its time, {what}"))?;
    let mut left = 0;
    for _ in 0..args.count {
        let sandbox = make(node, args, |limits| limits).await?;
        let mut capture = Capture::default();
        let nothing = None::<tokio::io::Empty>;
        let never = std::future::pending();
        let outcome = execute(&sandbox, &execution(code)?, nothing, &mut capture, never).await;
        let alive = members(&sandbox).len().saturating_sub(1);
        left += u32::try_from(alive).unwrap_or(u32::MAX);
        sandbox.destroy().await;
        let outcome = outcome.map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
        if outcome.cause != Cause::TimedOut {
            let why = format!("a run that {what} ended as {}", outcome.cause);
            return Err(Failure::new(Exit::INTERNAL, why));
        }
        let run = outcome.phases.0.iter().find(|(step, _)| step == "run");
        let took = Duration::from_micros(run.map_or(0, |(_, micros)| *micros));
        told.add(took.saturating_sub(TIMEOUT));
        let overrun = outcome.overrun;
        killed.add(overrun.ok_or_else(|| Failure::new(Exit::INTERNAL, "nothing was killed"))?);
    }
    Ok((killed, told, left))
}

fn execution(code: &'static str) -> Result<Execution, Failure> {
    let shell = Language::named("bash").map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    Ok(Execution {
        program: Program::of_code(code.as_bytes().into(), shell, None),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        uploads: Vec::new(),
        downloads: Vec::new(),
        timeout: TIMEOUT,
        output_limit: None,
        drain: Duration::from_millis(200),
        file_limit: u64::MAX,
        user: None,
        workdir: None,
        builds: None,
    })
}
