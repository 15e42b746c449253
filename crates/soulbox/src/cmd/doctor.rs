//! `soulbox doctor`: what this machine has and lacks.

use crate::cli::Global;
use crate::doctor::{self, Check, Finding, Machine};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use serde_json::json;
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  soulbox doctor
  soulbox doctor --json

Exit codes:
  0  soulbox run can work, though something else may be wanting
  1  something is missing that soulbox run needs";

/// Flags of `soulbox doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Examines the machine and tells.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let settings = global.settings(Vec::new())?;
    let checks = doctor::examine(&Machine::this(), &settings);
    let can_run = doctor::can_run(&checks);
    if args.json {
        terminal::print_json(&json!({ "can_run": can_run, "checks": checks }))?;
    } else {
        terminal::print(&page(&checks, can_run))?;
    }
    Ok(if can_run { Exit::SUCCESS } else { Exit::NO })
}

fn page(checks: &[Check], can_run: bool) -> String {
    let (good, warn, bad, off) = match terminal::stdout_has_colours() {
        true => ("\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"),
        false => ("", "", "", ""),
    };
    let mut page = String::new();
    for check in checks {
        let (colour, word) = match check.finding {
            Finding::Found => (good, "found"),
            Finding::Wanting => (warn, "wanting"),
            Finding::Missing => (bad, "missing"),
        };
        let _ = writeln!(
            page,
            "{colour}{word:<8}{off} {:<19} {}",
            check.name, check.seen
        );
        if let Some(mend) = &check.mend {
            let _ = writeln!(page, "{:<28} why:  {}", "", check.why);
            let _ = writeln!(page, "{:<28} mend: {mend}", "");
        }
    }
    page.push('\n');
    page.push_str(match can_run {
        true => "soulbox run can work on this machine.",
        false => "soulbox run cannot work on this machine yet: mend what is missing.",
    });
    page
}
