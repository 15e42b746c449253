//! `soulbox exec`: a command in a sandbox of a server.

use crate::cli::Global;
use crate::cli::sandbox::variable;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::session::{self, Session, There};
use crate::terminal;
use soulbox_client::way::Way;
use soulbox_runtime::agent_client::StartRequest;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  soulbox exec i3f9 -- ls -l
  soulbox exec i3f9 --user root -- apt-get update
  soulbox exec i3f9 -- tar xz < project.tar.gz
  soulbox exec i3f9 -t -- python3 -q

The command's exit code becomes the program's. Ctrl-C goes to the command; a second one kills it.
When the connection breaks, or the server is started again, its output goes on where it was.
Without -- everything after the command's name is the command's.";

/// Flags of `soulbox exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The sandbox's id, or how it begins
    #[arg(value_name = "ID")]
    id: String,
    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<String>,
    /// Give it a terminal, if stdin is one
    #[arg(short, long)]
    terminal: bool,
    /// The user inside [default: user]
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// The working directory inside [default: the user's home]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// A variable; without a value, that of this shell
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    variables: Vec<String>,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Runs the command; its exit code becomes the program's.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (settings, server) = args.server.open(global)?;
    let request = args.request()?;
    remote::block_on(async {
        let sandbox = find::sandbox(&server, &args.id).await?;
        let way = Way::to(&server, &sandbox, &settings.agent)?;
        let session = Session {
            client: &way.client,
            there: Some(There {
                server: &server,
                sandbox: &sandbox.sandbox_id,
                input: &way.input,
            }),
            request: &request,
        };
        session.run().await
    })
}

impl Args {
    fn request(&self) -> Result<StartRequest, Failure> {
        let variables = self.variables.iter().map(|text| variable(text));
        let variables = variables.collect::<Result<BTreeMap<_, _>, _>>()?;
        let pty = self.terminal.then(session::terminal_size).flatten();
        Ok(StartRequest {
            cmd: self.command.first().cloned().unwrap_or_default(),
            args: self.command.iter().skip(1).cloned().collect(),
            envs: match pty {
                Some(_) => session::with_defaults(variables),
                None => variables,
            },
            cwd: self.workdir.clone(),
            user: self.user.clone(),
            stdin: terminal::stdin_may_be_read(),
            pty,
            ..StartRequest::default()
        })
    }
}
