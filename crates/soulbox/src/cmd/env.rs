//! `soulbox env`: the variables that E2B's SDKs want.

use super::serve::Credentials;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  eval \"$(soulbox env)\"
  soulbox env --data-dir /srv/soulbox";

/// Flags of `soulbox env`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// Prints the lines that a shell takes.
pub(crate) fn run(global: &Global, _: &Args) -> Result<Exit, Failure> {
    let settings = global.settings(Vec::new())?;
    let data_dir = &settings.paths.data_dir;
    let credentials = Credentials::read(data_dir)?.ok_or_else(|| {
        Failure::new(
            Exit::NOT_FOUND,
            format!(
                "no server has run with the data directory {}",
                data_dir.display()
            ),
        )
        .help("soulbox serve")
    })?;
    terminal::print(&credentials.exports())?;
    Ok(Exit::SUCCESS)
}
