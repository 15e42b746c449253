//! Whole runs: create, run a program, destroy.

use super::Common;
use super::baseline::Baseline;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use soulbox_model::{Language, NetworkMode};
use soulbox_node::Node;
use soulbox_node::execute::{Capture, Execution, Program, execute};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench run
  soulbox bench run --count 5000 --at-once 2 --json > run.json";

/// The program of the Python rows.
const HELLO: &str = "print('hello')";

/// Flags of `soulbox bench run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many runs of /bin/true; a tenth of them of Python
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..))]
    count: u32,
    /// How many run side by side
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    at_once: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("run", &args.common.template);
    let python = args.count / 10;
    let progress = Progress::spinner("Python, one after another");
    let fresh = bed::start(global, Ready::default()).await?;
    let [ended, gone] = hello(&fresh, &args.common.template, python).await?;
    report.times([ended, gone]);
    let baselines = Baseline::there();
    for baseline in &baselines {
        let mut times = Times::of(format!("python hello, {}", baseline.name))?;
        baseline.measure(&["/usr/bin/python3", "-c", HELLO], python, &mut times);
        report.times([times]);
    }

    progress.say("create, /bin/true, destroy");
    report.times([cycles(&fresh, args, "everything fresh").await?]);
    fresh.stop().await;
    let pooled = bed::start(
        global,
        Ready {
            slots: 32,
            ..Ready::default()
        },
    )
    .await?;
    pooled.pools_filled().await;
    report.times([cycles(&pooled, args, "slots from the pool").await?]);
    pooled.stop().await;
    for baseline in baselines {
        report.times([baseline.measure_at_once(&["/bin/true"], args.count, args.at_once)?]);
    }
    Ok(report.end())
}

/// Python in fresh sandboxes: until its result is there, and until the sandbox is gone.
async fn hello(node: &Node, template: &str, count: u32) -> Result<[Times; 2], Failure> {
    let mut ended = Times::of("python hello, fresh sandbox, to its result")?;
    let mut gone = Times::of("python hello, fresh sandbox, to its removal")?;
    for _ in 0..count {
        let begin = Instant::now();
        let spec = bed::spec(node, template, NetworkMode::None)?;
        let sandbox = engine::create(node, spec).await?;
        let mut capture = Capture::default();
        let nothing = None::<tokio::io::Empty>;
        let never = std::future::pending();
        let outcome = execute(&sandbox, &execution(), nothing, &mut capture, never).await;
        let result = begin.elapsed();
        sandbox.destroy().await;
        outcome.map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
        if capture.stdout != b"hello\n" {
            return Err(Failure::new(Exit::INTERNAL, "Python did not say hello"));
        }
        ended.add(result);
        gone.add(begin.elapsed());
    }
    Ok([ended, gone])
}

fn execution() -> Execution {
    Execution {
        program: Program::of_code(
            Bytes::from_static(HELLO.as_bytes()),
            Language::default_for_code(),
            None,
        ),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        uploads: Vec::new(),
        downloads: Vec::new(),
        timeout: Duration::from_secs(60),
        output_limit: None,
        drain: Duration::ZERO,
        file_limit: u64::MAX,
        user: None,
        workdir: None,
        builds: None,
    }
}

/// Whole cycles of /bin/true, side by side.
async fn cycles(node: &Arc<Node>, args: &Args, name: &str) -> Result<Times, Failure> {
    let mut all = Times::of(format!(
        "create + true + destroy, {name}, {} at once",
        args.at_once
    ))?;
    let each = args.count / args.at_once;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..args.at_once)
        .map(|_| {
            let (node, template) = (Arc::clone(node), args.common.template.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                for _ in 0..each {
                    let begin = Instant::now();
                    let spec = bed::spec(&node, &template, NetworkMode::None)?;
                    let sandbox = engine::create(&node, spec).await?;
                    let ran = bed::run(&sandbox, &["/bin/true"]).await;
                    sandbox.destroy().await;
                    ran?;
                    times.push(begin.elapsed());
                }
                Ok::<_, Failure>(times)
            })
        })
        .collect();
    for task in tasks {
        let times = task
            .await
            .map_err(|error| Failure::of(Exit::INTERNAL, &error))??;
        times.into_iter().for_each(|time| all.add(time));
    }
    all.took(begin.elapsed());
    Ok(all)
}
