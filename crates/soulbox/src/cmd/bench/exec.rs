//! A command in a live sandbox, through its agent.

use super::Common;
use super::baseline::Baseline;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::NetworkMode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  soulbox bench exec
  soulbox bench exec --count 10000 --json > exec.json";

/// How many are not counted at first.
const WARM: u32 = 20;

/// Flags of `soulbox bench exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many commands
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("exec", &args.common.template);
    let progress = Progress::spinner("running commands in a live sandbox");
    let node = bed::start(global, Ready::default()).await?;
    let spec = bed::spec(&node, &args.common.template, NetworkMode::None)?;
    let sandbox = engine::create(&node, spec).await?;
    let mut commands = Times::of("/bin/true in a live sandbox")?;
    let mut plain = Times::of("/bin/true on the host, fork+exec")?;
    let fork = Baseline::there()
        .into_iter()
        .find(|baseline| baseline.name == "fork+exec");
    for number in 0..args.count + WARM {
        let begin = Instant::now();
        bed::run(&sandbox, &["/bin/true"]).await?;
        let took = begin.elapsed();
        if number >= WARM {
            commands.add(took);
            if let Some(fork) = fork {
                fork.measure(&["/bin/true"], 1, &mut plain);
            }
        }
    }
    drop(progress);
    sandbox.destroy().await;
    node.stop().await;
    report.times([commands, plain]);
    Ok(report.end())
}
