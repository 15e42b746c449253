//! `soulbox completion`: the completion script of a shell.

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use clap::CommandFactory;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  soulbox completion bash > /etc/bash_completion.d/soulbox
  soulbox completion zsh > \"${fpath[1]}/_soulbox\"
  soulbox completion fish > ~/.config/fish/completions/soulbox.fish";

/// Flags of `soulbox completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "soulbox", &mut script);
    terminal::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::SUCCESS)
}
