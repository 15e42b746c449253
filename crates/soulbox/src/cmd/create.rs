//! `soulbox create`: a sandbox on a server.

use crate::cli::Global;
use crate::cli::limit::LimitFlags;
use crate::cli::sandbox::variable;
use crate::cli::server::{ServerFlags, time};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote;
use crate::remote::wish;
use crate::terminal;
use soulbox_client::NewSandbox;
use std::collections::BTreeMap;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  soulbox create
  soulbox create base --timeout 1h --memory 512M --metadata owner=ci
  soulbox create --network internet --auto-pause --auto-resume
  id=$(soulbox create) && soulbox exec $id -- uname -a";

/// Flags of `soulbox create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The template [default: base]
    #[arg(value_name = "TEMPLATE")]
    template: Option<String>,
    /// How long it lives [default: the server's, 5m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// A note that is kept with it
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// A variable of every command in it; without a value, that of this shell
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    variables: Vec<String>,
    /// Pause it when its time is over, instead of ending it
    #[arg(long)]
    auto_pause: bool,
    /// Resume it when a request comes for it
    #[arg(long)]
    auto_resume: bool,
    /// What it may use.
    #[command(flatten)]
    limits: LimitFlags,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Makes it and prints its id.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let flags = args.server.flags().into_iter();
    let settings = global.settings(flags.chain(args.limits.flags()).collect())?;
    let server = args.server.server(&settings)?;
    let variables = args.variables.iter().map(|text| variable(text));
    let wish = NewSandbox {
        template: args.template.clone(),
        timeout: args.timeout,
        auto_pause: args.auto_pause,
        auto_resume: args.auto_resume,
        metadata: args
            .metadata
            .iter()
            .map(|text| note(text))
            .collect::<Result<_, _>>()?,
        env_vars: variables.collect::<Result<BTreeMap<_, _>, _>>()?,
        ..wish::of(&settings)
    };
    let must = settings.sandbox.require_limits;
    remote::block_on(async {
        let made = server.create(&wish).await?;
        let id = &made.met.sandbox_id;
        if must && !made.not_enforced.is_empty() {
            server.kill(id).await?;
            let what = format!(
                "nothing limits {} on the server",
                made.not_enforced.join(", ")
            );
            return Err(Failure::new(Exit::HOST, what));
        }
        terminal::print(id.as_str())?;
        Ok(Exit::SUCCESS)
    })
}

fn note(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| {
        Failure::new(
            Exit::USAGE,
            format!("--metadata {text:?}: it must be written KEY=VALUE"),
        )
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_pairs() {
        assert_eq!(note("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(note("a=").unwrap().1, "");
        assert_eq!(note("a").unwrap_err().exit, Exit::USAGE);
        assert_eq!(note("=b").unwrap_err().exit, Exit::USAGE);
    }
}
