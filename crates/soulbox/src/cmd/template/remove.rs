//! `soulbox template rm`.

use super::{failed, name, store};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;

const EXAMPLES: &str = "\
Examples:
  soulbox template rm base";

/// Flags of `soulbox template rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The template
    name: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let name = name(&args.name)?;
    let store = store(global)?;
    engine::take_rights()?;
    let _progress = Progress::spinner(&format!("removing template {name}"));
    store.remove(&name).map_err(|error| failed(&error))?;
    Ok(Exit::SUCCESS)
}
