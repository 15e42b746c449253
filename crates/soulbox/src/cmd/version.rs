//! `soulbox version`: which build this is.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use serde_json::json;
use soulbox_wire::spawner;

const EXAMPLES: &str = "\
Examples:
  soulbox version
  soulbox version --json";

/// The commit that was built, when the build knew it.
const COMMIT: Option<&str> = option_env!("SOULBOX_COMMIT");

/// Flags of `soulbox version`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the version.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        terminal::print_json(&json!({
            "version": version,
            "commit": COMMIT,
            "spawner_generation": spawner::GENERATION,
        }))?;
        return Ok(Exit::SUCCESS);
    }
    let commit = COMMIT.map_or_else(String::new, |commit| format!(" ({commit})"));
    terminal::print(&format!(
        "soulbox {version}{commit}\nspawner generation {}",
        spawner::GENERATION
    ))?;
    Ok(Exit::SUCCESS)
}
