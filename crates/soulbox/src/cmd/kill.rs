//! `soulbox kill`: the end of sandboxes of a server.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, Server, find};
use crate::terminal;
use soulbox_model::SandboxId;

const EXAMPLES: &str = "\
Examples:
  soulbox kill i3f9
  soulbox kill i3f9 i7ab
  soulbox kill --all";

/// Flags of `soulbox kill`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub(crate) struct Args {
    /// Their ids, or how these begin
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All that the key may see
    #[arg(long)]
    all: bool,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Ends them and prints their ids.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    remote::block_on(kill(&server, args))?;
    Ok(Exit::SUCCESS)
}

async fn kill(server: &Server, args: &Args) -> Result<(), Failure> {
    // All are found before the first is ended: a slip of the pen ends none.
    let ids = match args.all {
        true => all(server).await?,
        false => find::ids(server, &args.ids).await?,
    };
    for id in ids {
        match server.kill(&id).await {
            // With --all, what ended by itself meanwhile is as good.
            Err(error) if args.all && error.is_not_found() => {}
            done => {
                done?;
                terminal::print(id.as_str())?;
            }
        }
    }
    Ok(())
}

async fn all(server: &Server) -> Result<Vec<SandboxId>, Failure> {
    let all = server.list().await?;
    Ok(all.into_iter().map(|listed| listed.sandbox_id).collect())
}
