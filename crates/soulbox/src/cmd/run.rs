//! `soulbox run`: a piece of code in a fresh sandbox.

mod sink;
mod there;

use crate::cli::Global;
use crate::cli::sandbox::SandboxFlags;
use crate::cli::server::ServerFlags;
use crate::engine;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::remote;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use sink::Passing;
use soulbox_model::{Cause, Language, LanguageError, SandboxSpec, TeamId};
use soulbox_node::builds::Builds;
use soulbox_node::execute::program::Bounds;
use soulbox_node::execute::{
    About, BuildPlace, Capture, Download, ExecuteError, Execution, Guest, Outcome, Program,
    ProgramError, Report, Upload, execute,
};
use soulbox_node::{Node, Sandbox, Usage};
use soulbox_settings::{Flag, Settings};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use there::There;

const EXAMPLES: &str = "\
Examples:
  soulbox run -c 'print(1 + 1)'
  soulbox run script.js -- --verbose
  soulbox run -l bash -c 'echo $0 $@' -- a b
  curl -s https://example.org/x.py | soulbox run -
  soulbox run my_project/ --file data.csv:data.csv --output plot.png:plot.png
  soulbox run --network internet --timeout 30s --memory 512M --json fetch.py
  soulbox run --server http://127.0.0.1:3000 script.py";

/// Flags of `soulbox run`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
#[command(group = clap::ArgGroup::new("source").required(true).args(["code", "path"]))]
pub(crate) struct Args {
    /// The code itself
    #[arg(short, long, value_name = "CODE", allow_hyphen_values = true)]
    code: Option<String>,
    /// A file, a directory, or - to read code from stdin
    #[arg(value_name = "FILE|DIR|-")]
    path: Option<PathBuf>,
    /// The language [default: by the file's ending or its #! line; python for code without a name]
    #[arg(short, long, value_name = "NAME")]
    language: Option<String>,
    /// Copy a file into the sandbox before the code starts
    #[arg(long = "file", value_name = "LOCAL:REMOTE")]
    files: Vec<String>,
    /// Copy a file out of the sandbox when the code has ended
    #[arg(long = "output", value_name = "REMOTE:LOCAL")]
    outputs: Vec<String>,
    /// End it after this time [default: 5m]
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    timeout: Option<String>,
    /// End it when it prints more on stdout or stderr [default: 8M with --json, else no limit]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    max_output: Option<String>,
    /// Print one JSON object instead of the output
    #[arg(long)]
    json: bool,
    /// The code's own arguments
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
    /// What the sandbox is.
    #[command(flatten)]
    sandbox: SandboxFlags,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Runs the code; its exit code becomes the program's.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let done = prepare(global, args).and_then(|job| {
        let place = match &job.place {
            Place::Here(spec) => spec,
            Place::There(there) => return remote::block_on(there.run(&job)),
        };
        let runtime = engine::runtime()?;
        let done = runtime.block_on(job.run(place));
        // A read of stdin that nobody ends must not keep the program.
        runtime.shutdown_background();
        done
    });
    match done {
        Err(failure) if args.json => {
            terminal::print_json(&failure.document())?;
            Ok(failure.exit)
        }
        done => done,
    }
}

/// Everything that is known before a sandbox is made.
struct Job {
    settings: Settings,
    place: Place,
    execution: Execution,
    reads_stdin: bool,
    json: bool,
}

/// Where the sandbox is made.
enum Place {
    /// By an engine of our own.
    Here(SandboxSpec),
    /// By a server.
    There(Box<There>),
}

fn prepare(global: &Global, args: &Args) -> Result<Job, Failure> {
    let mut settings = global.settings(args.flags())?;
    if !args.sandbox.limits.asks_for_disk() {
        engine::keep_in_memory(&mut settings);
    }
    let (program, reads_stdin) = args.program(&settings)?;
    let uploads = args.files.iter().map(|text| upload(text, &settings));
    let downloads = args
        .outputs
        .iter()
        .map(|text| Download::parse(text).map_err(|error| Failure::of(Exit::USAGE, &error)));
    let limits_output = args.json || args.max_output.is_some();
    let execution = Execution {
        arguments: args.arguments.clone(),
        variables: args.sandbox.variables()?,
        uploads: uploads.collect::<Result<_, _>>()?,
        downloads: downloads.collect::<Result<_, _>>()?,
        timeout: settings.sandbox.timeout,
        output_limit: limits_output.then(|| settings.sandbox.output.bytes()),
        drain: settings.execute.drain,
        file_limit: settings.execute.file.bytes(),
        user: args.sandbox.user.clone(),
        workdir: args.sandbox.workdir.clone(),
        builds: None,
        program,
    };
    for link in &execution.program.skipped {
        terminal::warn(&format!(
            "note: {} leads out of the directory and is left out",
            link.display()
        ));
    }
    Ok(Job {
        place: match settings.client.url.is_empty() {
            true => Place::Here(args.sandbox.spec(&settings)?),
            false => Place::There(Box::new(There::new(args, &settings)?)),
        },
        settings,
        execution,
        reads_stdin,
        json: args.json,
    })
}

impl Args {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = engine::without_pools();
        flags.extend(self.sandbox.limits.flags());
        flags.extend(self.server.flags());
        let own = [
            ("sandbox.timeout", "--timeout", &self.timeout),
            ("sandbox.output", "--max-output", &self.max_output),
        ];
        let given = |(key, flag, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { key, flag, value })
        };
        flags.extend(own.into_iter().filter_map(given));
        flags
    }

    /// What is run, and whether stdin is left for it.
    fn program(&self, settings: &Settings) -> Result<(Program, bool), Failure> {
        let language = self.language.as_deref().map(Language::named).transpose();
        let language = language.map_err(|error| Failure::of(Exit::NOT_FOUND, &error))?;
        let bounds = Bounds {
            code: settings.execute.code.bytes(),
            files: settings.execute.files,
        };
        let of_code = |code: Vec<u8>| -> Result<Program, Failure> {
            let language = match language {
                Some(language) => language,
                None => Language::of_code(&code)
                    .map_err(|error| unknown(&error))?
                    .unwrap_or_else(Language::default_for_code),
            };
            Ok(Program::of_code(code.into(), language, None))
        };
        match (&self.code, self.path.as_deref()) {
            (Some(code), _) => Ok((of_code(code.clone().into_bytes())?, true)),
            (None, Some(path)) if path == Path::new("-") => {
                Ok((of_code(read_stdin(bounds.code)?)?, false))
            }
            (None, path) => {
                let path = path.unwrap_or(Path::new(""));
                let program = Program::load(path, language, bounds);
                Ok((program.map_err(|error| unreadable(&error))?, true))
            }
        }
    }
}

fn read_stdin(limit: u64) -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        terminal::warn("reading code from the terminal; Ctrl-D ends it");
    }
    let mut code = Vec::new();
    let read = io::stdin()
        .lock()
        .take(limit.saturating_add(1))
        .read_to_end(&mut code);
    read.map_err(|error| Failure::new(Exit::INTERNAL, "cannot read stdin").because(&error))?;
    if code.len() as u64 > limit {
        return Err(unreadable(&ProgramError::TooLarge { limit }));
    }
    Ok(code)
}

fn unknown(error: &LanguageError) -> Failure {
    Failure::of(Exit::NOT_FOUND, error).help("name the language with --language")
}

fn unreadable(error: &ProgramError) -> Failure {
    match error {
        ProgramError::Language(error) => unknown(error),
        ProgramError::Missing(_) => Failure::of(Exit::NOT_FOUND, error)
            .help("give -c CODE, an existing file or directory, or - for stdin"),
        ProgramError::NoEntry(_) => Failure::of(Exit::NOT_FOUND, error)
            .help("name a file main.<ending>, run a file of it, or name the language"),
        ProgramError::TooLarge { .. } => {
            Failure::of(Exit::USAGE, error).help("put what is large into files: --file, --mount")
        }
        _ => Failure::of(Exit::USAGE, error),
    }
}

fn upload(text: &str, settings: &Settings) -> Result<Upload, Failure> {
    let upload = Upload::parse(text).map_err(|error| Failure::of(Exit::USAGE, &error))?;
    let checked = upload.check(settings.execute.file.bytes());
    checked.map_err(|error| Failure::of(Exit::NOT_FOUND, &error))?;
    Ok(upload)
}

impl Job {
    async fn run(&self, spec: &SandboxSpec) -> Result<Exit, Failure> {
        let stop = Stop::listen()?;
        let template = &spec.template;
        let progress = Progress::spinner(&format!("starting a sandbox of template {template}"));
        let node = engine::start(self.settings.clone()).await?;
        let user = self.execution.user.as_deref();
        let create = async {
            engine::check_user(&node, user)?;
            engine::create(&node, spec.clone()).await
        };
        let made = tokio::select! {
            made = create => Some(made),
            () = stop.wait() => None,
        };
        drop(progress);
        let done = match made {
            None => Ok(Exit::KILLED),
            Some(Err(failure)) => Err(failure),
            Some(Ok(sandbox)) => self.run_in(&node, sandbox, &stop).await,
        };
        node.stop().await;
        done
    }

    async fn run_in(&self, node: &Node, sandbox: Sandbox, stop: &Stop) -> Result<Exit, Failure> {
        let builds = Builds::of(&self.settings);
        let place = builds
            .as_ref()
            .and_then(|builds| BuildPlace::of(builds, &TeamId::default_team(), &sandbox));
        let (ended, capture) = self.execute(&sandbox, place, stop).await;
        if let Some(builds) = builds {
            builds.settle().await;
        }
        let execution = &self.execution;
        let report = Report::of(About::here(&sandbox, node), execution);
        let lost = ended.is_err() && was_lost(&sandbox).await;
        let usage = sandbox.destroy().await;
        if lost {
            let what = "the spawner was lost, and the sandbox with it";
            return Err(Failure::new(Exit::INTERNAL, what)
                .help("somebody killed it, or the machine had no memory left: see its log"));
        }
        let outcome = ended.map_err(|error| failed(&error, execution))?;
        self.tell(&report, &outcome, usage, &capture)
    }

    /// Runs the code in a sandbox, wherever that is.
    async fn execute(
        &self,
        guest: &impl Guest,
        builds: Option<BuildPlace>,
        stop: &Stop,
    ) -> (Result<Outcome, ExecuteError>, Capture) {
        let stdin = (self.reads_stdin && terminal::stdin_may_be_read()).then(tokio::io::stdin);
        let mut capture = Capture::default();
        let execution = &Execution {
            builds,
            ..self.execution.clone()
        };
        let ended = if self.json {
            execute(guest, execution, stdin, &mut capture, stop.wait()).await
        } else {
            let mut passing = Passing::default();
            execute(guest, execution, stdin, &mut passing, stop.wait()).await
        };
        (ended, capture)
    }

    /// Tells how it ended and gives the exit code.
    fn tell(
        &self,
        report: &Report,
        outcome: &Outcome,
        usage: Usage,
        capture: &Capture,
    ) -> Result<Exit, Failure> {
        let exit = Exit::of_run(outcome.cause, outcome.exit_code, outcome.signal);
        if self.json {
            terminal::print_json(&report.document(outcome, usage, Some(capture), &[]))?;
        } else {
            self.explain(report, outcome);
        }
        for failed in &outcome.failed_downloads {
            Failure::of(Exit::NOT_FOUND, failed).tell();
        }
        match exit {
            Exit::SUCCESS if !outcome.failed_downloads.is_empty() => Ok(Exit::NOT_FOUND),
            exit => Ok(exit),
        }
    }

    /// Says on stderr what the code itself could not say.
    fn explain(&self, report: &Report, outcome: &Outcome) {
        let (what, help) = match outcome.cause {
            Cause::Exited | Cause::Signalled | Cause::Killed => return,
            Cause::TimedOut => {
                let time = soulbox_settings::duration::show(self.execution.timeout);
                (
                    format!("the time limit of {time} was reached"),
                    "--timeout sets it",
                )
            }
            Cause::OutOfMemory | Cause::OutOfAdaptiveMemory => {
                let mut what = format!("the memory limit of {} was reached", report.about.memory);
                if let Some(kill) = &report.about.memory_kill {
                    let name = kill.process.escape_debug();
                    what = format!("{what}: Linux ended \"{name}\", which held {}", kill.held);
                }
                (what, "--memory and --memory-max set it")
            }
            Cause::DiskFull => {
                let what = "the file system of the sandbox was full".to_owned();
                (what, "--disk and --memory set its size")
            }
            Cause::TooMuchOutput => {
                let size = self.settings.sandbox.output;
                (
                    format!("the output limit of {size} was reached"),
                    "--max-output sets it",
                )
            }
        };
        let exit = Exit::of_run(outcome.cause, None, None);
        Failure::new(exit, what).help(help).tell();
    }
}

/// Whether a sandbox that does not answer was lost with its spawner, which is known a moment after.
async fn was_lost(sandbox: &Sandbox) -> bool {
    let moment = std::time::Duration::from_millis(200);
    tokio::time::timeout(moment, sandbox.ended()).await.is_ok() && sandbox.was_lost()
}

/// What an error of running the code means for a person.
fn failed(error: &ExecuteError, execution: &Execution) -> Failure {
    match error {
        ExecuteError::Sink(source) => terminal::write_failed(source),
        ExecuteError::ProgramMissing {
            missing, template, ..
        } => {
            let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
            let failure = Failure::of(Exit::NOT_FOUND, error);
            failure.help(match template.as_str() {
                "host" => format!("apt-get install {}", packages.join(" ")),
                _ => format!(
                    "choose a template with {} (--template)",
                    packages.join(" and ")
                ),
            })
        }
        ExecuteError::Transfer(_) => Failure::of(Exit::NOT_FOUND, error),
        ExecuteError::Guest { .. } => {
            let failure = Failure::of(Exit::INTERNAL, error);
            match (&execution.user, &execution.workdir) {
                (None, None) => failure,
                _ => Failure::of(Exit::NOT_FOUND, error).help("check --user and --workdir"),
            }
        }
    }
}
