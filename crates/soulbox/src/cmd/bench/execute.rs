//! Code in a fresh sandbox each, through the real `soulbox serve`, by so many users at once; and the same code by other
//! means behind a small HTTP server: a process of its own, and bubblewrap.
//!
//! Who asks is a process of its own, whose share of the processors is told. Every answer is looked at: one that is not
//! what the code prints is a failure.

pub(super) mod part;

use super::Common;
use super::proxy::{failed, first_line};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::cmd::serve::Credentials;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use part::{Asked, Part};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const EXAMPLES: &str = "\
Examples:
  soulbox bench execute
  soulbox bench execute --users 1,10,100,500,1000 --payload fibonacci --json > execute.json";

/// Flags of `soulbox bench execute`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many users ask at once, each over a connection of its own
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1,10,100", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    users: Vec<u32>,
    /// How many seconds each of them is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many seconds come before that and do not count
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warm_up: u64,
    /// What is run
    #[arg(long, value_enum, default_value = "hello")]
    payload: Payload,
    /// Leave out the other means
    #[arg(long)]
    alone: bool,
    /// Be one of the parts
    #[arg(long, hide = true)]
    part: Option<Part>,
    /// Whom who asks turns to
    #[arg(long, hide = true, default_value = "")]
    to: String,
    /// How often who asks does so in a second, whatever the answers take; 0: each user when it has its answer
    #[arg(long, hide = true, default_value_t = 0)]
    rate: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Payload {
    /// Python that prints a line
    Hello,
    /// Python that computes fibonacci(10)
    Fibonacci,
    /// A shell that does nothing: the sandbox's own price
    Nothing,
    /// C that prints a line, compiled once
    C,
    /// Python that prints a line after a second, so that many of them are there at once
    Wait,
}

impl Payload {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Fibonacci => "fibonacci",
            Self::Nothing => "nothing",
            Self::C => "c",
            Self::Wait => "wait",
        }
    }

    /// Language, code, and what it prints.
    pub(super) const fn code(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Hello => ("python", "print('hello')", "hello\n"),
            Self::Fibonacci => (
                "python",
                "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nprint(f(10))",
                "55\n",
            ),
            Self::Nothing => ("bash", "exit 0", ""),
            Self::C => (
                "c",
                "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }",
                "hello\n",
            ),
            Self::Wait => (
                "python",
                "import time\ntime.sleep(1)\nprint('hello')",
                "hello\n",
            ),
        }
    }

    /// The same as a command of the host, where there is one that need not be compiled: by the programs that template
    /// `host` has, whatever the `PATH` says.
    pub(super) const fn words(self) -> Option<[&'static str; 3]> {
        let (_, code, _) = self.code();
        match self {
            Self::Hello | Self::Fibonacci | Self::Wait => Some(["/usr/bin/python3", "-c", code]),
            Self::Nothing => Some(["/bin/bash", "-c", code]),
            Self::C => None,
        }
    }
}

impl Args {
    /// Is one of the parts, if it is to be.
    pub(super) fn be_part(&self) -> Option<Result<(), Failure>> {
        let part = self.part?;
        let asked = Asked {
            to: self.to.clone(),
            template: self.common.template.clone(),
            users: self.users.first().copied().unwrap_or(1),
            time: Duration::from_secs(self.seconds),
            warm_up: Duration::from_secs(self.warm_up),
            payload: self.payload,
            rate: self.rate,
        };
        let done = part::be(part, &asked);
        Some(done.map_err(|error| failed("be a part of the bench", &error)))
    }
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("execute", &args.common.template);
    let program = std::env::current_exe().map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    let settings = global.settings(Vec::new())?;
    let (server, address, key) = serve(&program, &settings.paths.data_dir, &[]).await?;
    let mut ways = vec![("soulbox, fresh sandbox each", address, key, Some(server))];
    let others = [
        ("fork and exec", Part::Fork),
        ("bubblewrap", Part::Bubblewrap),
    ];
    if !args.alone && args.payload.words().is_some() {
        for (name, part) in others.into_iter().filter(|(_, part)| part.works()) {
            let (child, address) = listen(&program, part, args.payload).await?;
            ways.push((name, address, String::new(), Some(child)));
        }
    }
    let total = args.users.len() * ways.len();
    let bar = Progress::bar("running code", total as u64);
    for users in &args.users {
        for (name, address, key, _) in &ways {
            let load = Load {
                users: *users,
                rate: 0,
                seconds: args.seconds,
                warm_up: args.warm_up,
                payload: args.payload,
                template: &args.common.template,
            };
            let told = ask(&program, &load, address, key).await?;
            let mut times = Times::of(format!("{name}, {users} users"))?;
            times.took(Duration::from_micros(told.elapsed_us));
            for micros in &told.micros {
                times.add(Duration::from_micros(*micros));
            }
            report.times([times]);
            report.figure(
                format!("failures, {name}, {users} users"),
                told.failures,
                "",
            );
            report.figure(
                format!("not answered before the end, {name}, {users} users"),
                told.unanswered,
                "",
            );
            report.figure(
                format!("who asks, {name}, {users} users"),
                told.share,
                "CPUs",
            );
            bar.advance(1);
        }
    }
    drop(bar);
    for (.., child) in ways {
        if let Some(child) = child {
            end(child).await;
        }
    }
    Ok(report.end())
}

#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the parts are processes of their own"
)]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Starts the server with these variables: its process, where it listens, a key for it.
pub(super) async fn serve(
    program: &Path,
    data_dir: &Path,
    variables: &[(&str, &str)],
) -> Result<(Child, String, String), Failure> {
    let mut command = command(program);
    command.args(["serve", "--listen=127.0.0.1:0", "--end-on-stop"]);
    command.args(["--allow-host-template", "--data-dir"]);
    command.arg(data_dir).envs(variables.iter().copied());
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed("start the server", &error))?;
    let address = first_line(&mut child, "SoulBox listens on http://").await?;
    let key = Credentials::read(data_dir)?
        .and_then(|credentials| credentials.api_key)
        .ok_or_else(|| Failure::new(Exit::INTERNAL, "the server made no key"))?;
    Ok((child, address, key))
}

/// Starts a small server that runs the payload by other means.
pub(super) async fn listen(
    program: &Path,
    part: Part,
    payload: Payload,
) -> Result<(Child, String), Failure> {
    let mut command = command(program);
    command.args(["bench", "execute", "--part", part.word()]);
    command.args(["--payload", payload.word()]);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed("start a part of the bench", &error))?;
    let address = first_line(&mut child, "").await?;
    Ok((child, address))
}

/// What who asks is told.
pub(super) struct Load<'l> {
    /// How many ask, each over a connection of its own.
    pub(super) users: u32,
    /// How often all of them together ask in a second; 0: each when it has its answer.
    pub(super) rate: u32,
    /// How long it is measured.
    pub(super) seconds: u64,
    /// How long before that.
    pub(super) warm_up: u64,
    pub(super) payload: Payload,
    pub(super) template: &'l str,
}

/// Has so many users ask for a while.
pub(super) async fn ask(
    program: &Path,
    load: &Load<'_>,
    to: &str,
    key: &str,
) -> Result<part::Told, Failure> {
    let mut command = command(program);
    command.args(["bench", "execute", "--part", Part::Load.word(), "--to", to]);
    command.args(["--users", &load.users.to_string()]);
    command.args(["--rate", &load.rate.to_string()]);
    command.args(["--seconds", &load.seconds.to_string()]);
    command.args(["--warm-up", &load.warm_up.to_string()]);
    command.args(["--payload", load.payload.word()]);
    command.args(["--template", load.template]);
    // Not as an argument: everybody on the machine can read those.
    command.env(part::KEY, key);
    let output = command.stdout(Stdio::piped()).output().await;
    let output = output.map_err(|error| failed("start who asks", &error))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        Failure::new(Exit::INTERNAL, format!("cannot measure {to}: {said}"))
    })
}

/// Ends a child that listens.
pub(super) async fn end(mut child: Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = child.wait().await;
    }
}
