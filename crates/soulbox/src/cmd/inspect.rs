//! `soulbox inspect`: everything about one sandbox of a server.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::terminal;
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Examples:
  soulbox inspect i3f9
  soulbox inspect i3f9 | jq .endAt";

/// Fields that hold secrets, which do not belong on a screen.
const SECRETS: [&str; 2] = ["envdAccessToken", "trafficAccessToken"];

/// Flags of `soulbox inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Its id, or how it begins
    #[arg(value_name = "ID")]
    id: String,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Prints it as JSON, without its tokens.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    let met = remote::block_on(find::sandbox(&server, &args.id))?;
    let mut shown = Map::new();
    shown.insert("sandboxID".to_owned(), met.sandbox_id.as_str().into());
    shown.extend(met.rest);
    for secret in SECRETS {
        shown.remove(secret);
    }
    let text = serde_json::to_string_pretty(&Value::Object(shown));
    let text = text.map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    terminal::print(&text)?;
    Ok(Exit::SUCCESS)
}
