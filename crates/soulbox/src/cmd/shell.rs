//! `soulbox shell`: a terminal in a fresh sandbox, or in one of a server.

use crate::cli::Global;
use crate::cli::sandbox::SandboxFlags;
use crate::cli::server::ServerFlags;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, find};
use crate::session::{self, Session, There};
use crate::signal::Stop;
use crate::terminal::Progress;
use soulbox_client::way::Way;
use soulbox_model::SandboxSpec;
use soulbox_runtime::agent_client::StartRequest;
use soulbox_settings::Settings;

const EXAMPLES: &str = "\
Examples:
  soulbox shell
  soulbox shell --network internet --mount .:/home/user/src
  soulbox shell --user root
  soulbox shell -- python3 -q
  soulbox shell i3f9

With an ID the shell is in that sandbox of a server, which goes on when the shell ends.";

/// The shell that is started when no command is named.
const SHELL: [&str; 2] = ["/bin/bash", "-l"];

/// Flags of `soulbox shell`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A sandbox of a server, by its id or how that begins [default: a fresh sandbox of this machine]
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The command instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// What the sandbox is.
    #[command(flatten)]
    sandbox: SandboxFlags,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Opens the shell; its exit code becomes the program's.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let request = request(args)?;
    if let Some(id) = &args.id {
        return attach(global, args, id, &request);
    }
    let mut flags = engine::without_pools();
    flags.extend(args.sandbox.limits.flags());
    let mut settings = global.settings(flags)?;
    if !args.sandbox.limits.asks_for_disk() {
        engine::keep_in_memory(&mut settings);
    }
    let spec = args.sandbox.spec(&settings)?;
    let runtime = engine::runtime()?;
    let done = runtime.block_on(open(settings, spec, request));
    runtime.shutdown_background();
    done
}

/// Opens it in a sandbox that a server has.
fn attach(global: &Global, args: &Args, id: &str, request: &StartRequest) -> Result<Exit, Failure> {
    if let Some(flag) = args.sandbox.of_a_fresh_one() {
        let what = format!("{flag} is for a fresh sandbox, and {id} is there already");
        return Err(Failure::new(Exit::USAGE, what).help("leave out one of them"));
    }
    let (settings, server) = args.server.open(global)?;
    remote::block_on(async {
        let sandbox = find::sandbox(&server, id).await?;
        let way = Way::to(&server, &sandbox, &settings.agent)?;
        let session = Session {
            client: &way.client,
            there: Some(There {
                server: &server,
                sandbox: &sandbox.sandbox_id,
                input: &way.input,
            }),
            request,
        };
        session.run().await
    })
}

fn request(args: &Args) -> Result<StartRequest, Failure> {
    let words = match args.command.is_empty() {
        true => SHELL.map(str::to_owned).to_vec(),
        false => args.command.clone(),
    };
    Ok(StartRequest {
        cmd: words.first().cloned().unwrap_or_default(),
        args: words.into_iter().skip(1).collect(),
        envs: session::with_defaults(args.sandbox.variables()?),
        cwd: args.sandbox.workdir.clone(),
        user: args.sandbox.user.clone(),
        stdin: true,
        pty: session::terminal_size(),
        ..StartRequest::default()
    })
}

async fn open(
    settings: Settings,
    spec: SandboxSpec,
    request: StartRequest,
) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let progress = Progress::spinner(&format!("starting a sandbox of template {}", spec.template));
    let node = engine::start(settings).await?;
    let made = engine::create(&node, spec).await;
    drop(progress);
    let done = match made {
        Err(failure) => Err(failure),
        Ok(sandbox) => {
            let session = Session {
                client: sandbox.agent(),
                there: None,
                request: &request,
            };
            let done = tokio::select! {
                done = session.run() => done,
                () = stop.wait() => Ok(Exit::KILLED),
            };
            sandbox.destroy().await;
            done
        }
    };
    node.stop().await;
    done
}
