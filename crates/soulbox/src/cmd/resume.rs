//! `soulbox resume`: paused sandboxes go on.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::terminal;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  soulbox resume i3f9
  soulbox resume i3f9 --timeout 1h";

/// Flags of `soulbox resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Their ids, or how these begin
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// How long they live from now on, unless they have more [default: the server's]
    #[arg(long, value_name = "TIME", value_parser = crate::cli::server::time)]
    timeout: Option<Duration>,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Resumes them and prints their ids. One that runs has its time extended.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    let seconds = args.timeout.map(|time| time.as_secs());
    remote::block_on(async {
        for id in find::ids(&server, &args.ids).await? {
            server.connect(&id, seconds).await?;
            terminal::print(id.as_str())?;
        }
        Ok(Exit::SUCCESS)
    })
}
