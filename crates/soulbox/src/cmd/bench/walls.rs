//! What the walls cost each system call.
//!
//! The same program asks Linux for little things many times: on the host, on the host behind the
//! shortest filter there is, and in a sandbox. The shortest filter answers "allow" with its only
//! instruction, which Linux knows without running it: what a call costs more behind that one, any
//! filter costs.

use super::Common;
use super::bed::{self, Ready};
use super::report::Report;
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{self, Progress};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use soulbox_model::{Mount, NetworkMode};
use soulbox_node::Sandbox;
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use soulbox_syscall::seccomp::{self, Instruction};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  soulbox bench walls
  soulbox bench walls --count 50 --json > walls.json";

/// Where a sandbox finds this program.
const INSIDE: &str = "/soulbox-bench";

/// How often each call is made for one time.
const CALLS: u32 = 5_000;

/// How many times are taken in a turn, of which the median counts.
const ROUNDS: usize = 100;

/// What is asked: getppid does nothing else; reading no bytes and looking at an open file pass
/// through the file system.
const ASKED: [&str; 3] = ["getppid", "read of 0 bytes", "fstat"];

/// Answers every call with "allow" (include/uapi/linux/seccomp.h).
const SHORTEST: [Instruction; 1] = [Instruction {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 0x7FFF_0000,
}];

/// What a call passes on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Behind {
    /// What this process has passed anyway.
    Nothing,
    /// The shortest filter.
    Filter,
}

/// Flags of `soulbox bench walls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many turns of the host, the host behind the shortest filter, and a sandbox
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Be the program that is measured
    #[arg(long, hide = true)]
    behind: Option<Behind>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    /// What the program that is measured is to be behind; none of the one that measures.
    pub(super) fn behind(&self) -> Option<Behind> {
        self.behind
    }
}

/// Nanoseconds of each call that is asked for.
type Costs = [f64; ASKED.len()];

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("walls", &args.common.template);
    let program = std::env::current_exe().map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    let node = bed::start(global, Ready::default()).await?;
    let mut spec = bed::spec(&node, &args.common.template, NetworkMode::None)?;
    spec.mounts.push(Mount {
        host: program.clone(),
        guest: PathBuf::from(INSIDE),
        read_only: true,
    });
    let sandbox = engine::create(&node, spec).await?;
    let progress = Progress::bar("asking Linux", u64::from(args.count));
    let (mut host, mut filter, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.count {
        host.push(outside(&program, "nothing")?);
        filter.push(outside(&program, "filter")?);
        inside.push(in_sandbox(&sandbox).await?);
        progress.advance(1);
    }
    drop(progress);
    sandbox.destroy().await;
    node.stop().await;
    for (at, asked) in ASKED.into_iter().enumerate() {
        let [host, filter, inside] = [&host, &filter, &inside]
            .map(|turns| median(turns.iter().filter_map(|costs| costs.get(at).copied())));
        report.figure(format!("{asked}, on the host"), host, "ns");
        report.figure(format!("{asked}, behind the shortest filter"), filter, "ns");
        report.figure(format!("{asked}, in a sandbox"), inside, "ns");
        report.figure(
            format!("{asked}, more than on the host"),
            inside - host,
            "ns",
        );
        let more = inside - filter;
        report.figure(
            format!("{asked}, more than behind the shortest filter"),
            more,
            "ns",
        );
    }
    Ok(report.end())
}

/// Is the program that is measured: prints a number for each call.
pub(super) fn tell(behind: Behind) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| {
        Failure::new(Exit::INTERNAL, "cannot measure system calls").because(&error)
    };
    let file = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty()).map_err(failed)?;
    if behind == Behind::Filter {
        seccomp::load(&SHORTEST).map_err(failed)?;
    }
    terminal::print_json(&ask(&file))
}

fn ask(file: &OwnedFd) -> Costs {
    let mut times: [Vec<f64>; ASKED.len()] = Default::default();
    for _ in 0..ROUNDS {
        // By turns, so that a moment of a slower machine is one of all three.
        let [parent, read, stat] = &mut times;
        parent.push(cost(|| {
            let _ = rustix::process::getppid();
        }));
        read.push(cost(|| {
            let _ = rustix::io::read(file, &mut [0_u8; 0]);
        }));
        stat.push(cost(|| {
            let _ = rustix::fs::fstat(file);
        }));
    }
    times.map(|times| median(times.into_iter()))
}

fn cost(call: impl Fn()) -> f64 {
    let begin = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// The middle one; 0 of none.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[allow(clippy::disallowed_methods)] // the same program, outside of every sandbox
fn outside(program: &Path, behind: &str) -> Result<Costs, Failure> {
    let mut command = Command::new(program);
    command.args(words(behind));
    let output = command.output();
    let output = output.map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    numbers(&output.stdout, &output.stderr)
}

async fn in_sandbox(sandbox: &Sandbox) -> Result<Costs, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::INTERNAL, "cannot measure in the sandbox").because(error)
    };
    let request = StartRequest {
        cmd: INSIDE.to_owned(),
        args: words("nothing").map(str::to_owned).to_vec(),
        ..StartRequest::default()
    };
    let stream = sandbox.agent().start(&request).await;
    let mut stream = stream.map_err(|error| failed(&error))?;
    let (mut told, mut complaints) = (Vec::new(), Vec::new());
    while let Some(event) = stream.next().await.map_err(|error| failed(&error))? {
        match event {
            ProcessEvent::Stdout(bytes) => told.extend_from_slice(&bytes),
            ProcessEvent::Stderr(bytes) => complaints.extend_from_slice(&bytes),
            _ => {}
        }
    }
    numbers(&told, &complaints)
}

fn words(behind: &str) -> [&str; 4] {
    ["bench", "walls", "--behind", behind]
}

fn numbers(told: &[u8], complaints: &[u8]) -> Result<Costs, Failure> {
    serde_json::from_slice(told).map_err(|_| {
        let said = String::from_utf8_lossy(complaints);
        let what = format!("the program that was to be measured said: {}", said.trim());
        Failure::new(Exit::INTERNAL, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_taken() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).abs() < f64::EPSILON);
    }

    #[test]
    fn what_was_told_is_read_or_passed_on() {
        assert!(numbers(b"[1.5, 2, 3]\n", b"").is_ok());
        let refused = numbers(b"", b"no such library\n").unwrap_err();
        assert!(refused.text(false).contains("no such library"));
    }
}
