//! `soulbox shell`: a terminal in a fresh sandbox.

mod raw;

use crate::cli::Global;
use crate::cli::sandbox::SandboxFlags;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use raw::Raw;
use soulbox_model::{Cause, SandboxSpec};
use soulbox_node::Sandbox;
use soulbox_runtime::agent_client::{
    AgentClient, AgentError, InputStream, ProcessEnd, ProcessEvent, ProcessStream, StartRequest,
};
use soulbox_settings::Settings;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  soulbox shell
  soulbox shell --network internet --mount .:/home/user/src
  soulbox shell --user root
  soulbox shell -- python3 -q";

/// The shell that is started when no command is named.
const SHELL: [&str; 2] = ["/bin/bash", "-l"];

/// How much input is read at once: what a person types or pastes.
const INPUT: usize = 16 * 1024;

/// Flags of `soulbox shell`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The command instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// What the sandbox is.
    #[command(flatten)]
    sandbox: SandboxFlags,
}

/// Opens the shell; its exit code becomes the program's.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let mut flags = engine::without_pools();
    flags.extend(args.sandbox.limits.flags());
    let mut settings = global.settings(flags)?;
    if !args.sandbox.limits.asks_for_disk() {
        engine::keep_in_memory(&mut settings);
    }
    let spec = args.sandbox.spec(&settings)?;
    let request = request(args)?;
    let runtime = engine::runtime()?;
    let done = runtime.block_on(open(settings, spec, request));
    runtime.shutdown_background();
    done
}

fn request(args: &Args) -> Result<StartRequest, Failure> {
    let words = match args.command.is_empty() {
        true => SHELL.map(str::to_owned).to_vec(),
        false => args.command.clone(),
    };
    let mut variables = args.sandbox.variables()?;
    if let Some(term) = std::env::var_os("TERM").and_then(|term| term.into_string().ok()) {
        variables.entry("TERM".to_owned()).or_insert(term);
    }
    Ok(StartRequest {
        cmd: words.first().cloned().unwrap_or_default(),
        args: words.into_iter().skip(1).collect(),
        envs: defaults(variables),
        cwd: args.sandbox.workdir.clone(),
        user: args.sandbox.user.clone(),
        stdin: true,
        pty: raw::size().filter(|_| io::stdin().is_terminal()),
        ..StartRequest::default()
    })
}

fn defaults(mut variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    variables
        .entry("LANG".to_owned())
        .or_insert_with(|| "C.UTF-8".to_owned());
    variables
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
            let done = tokio::select! {
                done = talk(&sandbox, &request) => done,
                () = stop.wait() => Ok(Exit::KILLED),
            };
            sandbox.destroy().await;
            done
        }
    };
    node.stop().await;
    done
}

/// Connects the terminal with the shell until the shell ends.
async fn talk(sandbox: &Sandbox, request: &StartRequest) -> Result<Exit, Failure> {
    let client = sandbox.agent();
    let has_terminal = request.pty.is_some();
    let stream = client.start(request).await.map_err(|error| {
        let doing = format!("cannot start {}", request.cmd);
        Failure::new(Exit::NOT_FOUND, doing).because(&error)
    })?;
    let pid = stream.pid();
    // Only now: messages until here are for a terminal as it was.
    let _raw = has_terminal.then(Raw::enter).transpose().map_err(|error| {
        Failure::new(Exit::INTERNAL, "cannot set up the terminal").because(&error)
    })?;
    let end = tokio::select! {
        end = print(stream) => end?,
        never = type_in(client, pid, has_terminal) => never,
        never = resize(client, pid), if has_terminal => never,
    };
    let cause = match end.signal {
        Some(_) => Cause::Signalled,
        None => Cause::Exited,
    };
    Ok(Exit::of_run(cause, Some(end.exit_code), end.signal))
}

/// Prints what the shell prints; gives its end.
async fn print(mut stream: ProcessStream) -> Result<ProcessEnd, Failure> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        let written = match stream.next().await.map_err(|error| lost(&error))? {
            Some(ProcessEvent::Terminal(bytes) | ProcessEvent::Stdout(bytes)) => {
                stdout.write_all(&bytes).await.and(stdout.flush().await)
            }
            Some(ProcessEvent::Stderr(bytes)) => {
                stderr.write_all(&bytes).await.and(stderr.flush().await)
            }
            Some(ProcessEvent::End(end)) => return Ok(end),
            None => return Err(Failure::new(Exit::INTERNAL, "the shell was lost")),
        };
        written.map_err(|error| terminal::write_failed(&error))?;
    }
}

fn lost(error: &AgentError) -> Failure {
    Failure::new(Exit::INTERNAL, "the sandbox does not answer").because(error)
}

/// Sends what is typed. Never returns: the shell's end ends everything.
async fn type_in(client: &AgentClient, pid: u32, has_terminal: bool) -> ProcessEnd {
    if let Ok(mut input) = client.stream_input(pid, has_terminal).await {
        if feed(&mut input).await.is_ok() {
            let _ = input.finish().await;
        }
        if !has_terminal {
            let _ = client.close_stdin(pid).await;
        }
    }
    std::future::pending().await
}

async fn feed(input: &mut InputStream) -> Result<(), AgentError> {
    let mut stdin = tokio::io::stdin();
    let mut bytes = vec![0; INPUT];
    loop {
        match stdin.read(&mut bytes).await {
            Ok(length) if length > 0 => {
                input.send(bytes.get(..length).unwrap_or_default()).await?;
            }
            _ => return Ok(()),
        }
    }
}

/// Tells the shell when the window changes its size.
async fn resize(client: &AgentClient, pid: u32) -> ProcessEnd {
    if let Ok(mut changes) = signal(SignalKind::window_change()) {
        while changes.recv().await.is_some() {
            if let Some(size) = raw::size() {
                // A size that is not taken changes nothing but the look.
                let _ = client.resize(pid, size).await;
            }
        }
    }
    std::future::pending().await
}
