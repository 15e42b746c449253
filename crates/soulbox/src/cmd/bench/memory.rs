//! The memory of idle sandboxes: what their processes hold, and what the machine has less.

use super::Common;
use super::bed::{self, Ready};
use super::report::Report;
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::NetworkMode;
use soulbox_node::{Node, Sandbox};
use std::fs;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  soulbox bench memory
  soulbox bench memory --count 1000 --json > memory.json";

/// How long the machine may settle before its memory is read: Linux gives freed memory back in the
/// background.
const SETTLE: Duration = Duration::from_secs(2);

/// Flags of `soulbox bench memory`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many sandboxes are alive at once
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4000))]
    count: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("memory", &args.common.template);
    report.figure("sandboxes alive at once", f64::from(args.count), "");
    for (network, name) in [
        (NetworkMode::None, "no network"),
        (NetworkMode::Internet, "internet"),
    ] {
        let node = bed::start(global, Ready::default()).await?;
        // The first one brings in what all share: the template, the agent's program.
        make(&node, args, network, 1).await?;
        tokio::time::sleep(SETTLE).await;
        let before = free_kib()?;
        let sandboxes = make(&node, args, network, args.count).await?;
        tokio::time::sleep(SETTLE).await;
        let taken = before.saturating_sub(free_kib()?);
        let pss: u64 = sandboxes
            .iter()
            .filter_map(|sandbox| pss_kib(sandbox.pid()))
            .sum();
        let each =
            |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / f64::from(args.count);
        report.figure(format!("PSS of the agent, each, {name}"), each(pss), "KiB");
        report.figure(
            format!("the machine's free memory, each, {name}"),
            each(taken),
            "KiB",
        );
        for sandbox in sandboxes {
            sandbox.destroy().await;
        }
        node.stop().await;
    }
    Ok(report.end())
}

async fn make(
    node: &Node,
    args: &Args,
    network: NetworkMode,
    count: u32,
) -> Result<Vec<Sandbox>, Failure> {
    let bar = Progress::bar("creating sandboxes", u64::from(count));
    let mut all = Vec::new();
    for _ in 0..count {
        let spec = bed::spec(node, &args.common.template, network)?;
        all.push(engine::create(node, spec).await?);
        bar.advance(1);
    }
    Ok(all)
}

/// The machine's free memory, without what it would give up: page cache does not count.
fn free_kib() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/meminfo");
    let text =
        text.map_err(|error| Failure::new(Exit::HOST, "no /proc/meminfo").because(&error))?;
    field(&text, "MemFree:")
        .ok_or_else(|| Failure::new(Exit::HOST, "/proc/meminfo tells no MemFree"))
}

/// What a process holds, shared pages divided among those who share them.
pub(super) fn pss_kib(pid: u32) -> Option<u64> {
    field(
        &fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?,
        "Pss:",
    )
}

/// The number after `key` at the start of a line.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_key() {
        let text = "MemTotal: 10 kB\nMemFree:   7 kB\n";
        assert_eq!(field(text, "MemFree:"), Some(7));
        assert_eq!(field(text, "Pss:"), None);
    }
}
