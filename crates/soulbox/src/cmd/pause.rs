//! `soulbox pause`: sandboxes that stand still, with everything in memory.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  soulbox pause i3f9
  soulbox pause i3f9 i7ab";

/// Flags of `soulbox pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Their ids, or how these begin
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Pauses them and prints their ids.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    remote::block_on(async {
        for id in find::ids(&server, &args.ids).await? {
            server.pause(&id).await?;
            terminal::print(id.as_str())?;
        }
        Ok(Exit::SUCCESS)
    })
}
