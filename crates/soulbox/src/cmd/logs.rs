//! `soulbox logs`: the log of a sandbox of a server, in the words of the programming interface.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::{Failure, safe};
use crate::remote::{self, find};
use crate::terminal;
use serde::Deserialize;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  soulbox logs i3f9
  soulbox logs i3f9 --json

It is kept after the sandbox's end. What its commands print is not in it: that goes to whoever started them.";

/// Flags of `soulbox logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The sandbox's id, or how it begins
    #[arg(value_name = "ID")]
    id: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// What the server tells.
#[derive(Deserialize)]
struct Logs {
    logs: Vec<Value>,
}

/// Prints the log, the oldest first.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    let told: Logs = remote::block_on(async {
        let id = find::known(&server, &args.id).await?;
        Ok(server.get(&format!("/v2/sandboxes/{id}/logs")).await?)
    })?;
    if args.json {
        terminal::print_json(&json!({ "logs": told.logs }))?;
        return Ok(Exit::SUCCESS);
    }
    for entry in &told.logs {
        let word = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let line = format!(
            "{} {:<5} {}",
            word("timestamp"),
            word("level"),
            word("message")
        );
        terminal::print(&safe(&line.replace('\n', " ")))?;
    }
    Ok(Exit::SUCCESS)
}
