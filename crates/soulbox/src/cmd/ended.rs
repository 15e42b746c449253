//! `soulbox ended`: how sandboxes ended while no engine was there to tell it.

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use serde_json::json;
use soulbox_node::past::{Ended, Past, in_words};
use std::time::{SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "\
Examples:
  soulbox ended
  soulbox ended --json

The next engine that starts finds them out, so run or start one first. The list holds the last
1000 and is gone when the machine stops.";

/// Flags of `soulbox ended`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the list, the latest last.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let settings = global.settings(Vec::new())?;
    let all = Past::new(&settings.paths.machine_dir).all();
    let all = all.map_err(|error| Failure::of(Exit::HOST, &error))?;
    if args.json {
        terminal::print_json(&json!({ "ended": all }))?;
        return Ok(Exit::SUCCESS);
    }
    if all.is_empty() {
        terminal::print("none")?;
    }
    for ended in &all {
        terminal::print(&line(ended))?;
    }
    Ok(Exit::SUCCESS)
}

fn line(ended: &Ended) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs());
    let ago = now.saturating_sub(ended.end.at / 1000);
    let ago = soulbox_settings::duration::show(std::time::Duration::from_secs(ago));
    let how = match (ended.end.code, ended.end.signal) {
        (_, Some(signal)) => format!(", signal {signal}"),
        (Some(code), None) => format!(", exit code {code}"),
        (None, None) => String::new(),
    };
    let memory = match ended.end.usage.oom_kills {
        0 => String::new(),
        kills => format!(", {kills} processes killed for want of memory"),
    };
    format!(
        "{} of {}, {ago} ago: {}{how}{memory}",
        ended.id,
        ended.template,
        in_words(ended.end.ending)
    )
}
