//! Running a piece of code in a live sandbox.
//!
//! ```text
//! Program::load ──▶ files, language, entry     on the host, before any sandbox is made
//! execute ──▶ copy files in ──▶ compile ──▶ run ──▶ copy files out ──▶ Outcome
//! ```
//!
//! | What | File |
//! |---|---|
//! | what is run, read from the host | [`program`] |
//! | what Python code imports | `imports` |
//! | its commands | [`plan`] |
//! | what this needs of a sandbox | [`guest`] |
//! | what of that an agent does | [`agent`], [`agent_guest`] |
//! | where output goes | [`output`] |
//! | what ends a run from outside: time, output, a request | [`watch`] |
//! | one command, from start to end | `process` |
//! | why it ended | [`outcome`] |
//! | a run as one JSON object | [`report`] |
//! | files in and out; those that are answered | [`transfer`], `collect` |
//! | what a compiler made | [`build`] |

pub mod agent;
pub mod agent_guest;
pub mod build;
mod collect;
pub mod guest;
mod imports;
pub mod outcome;
pub mod output;
pub mod plan;
mod process;
pub mod program;
pub mod report;
mod sandbox;
#[cfg(test)]
mod testing;
pub mod transfer;
pub mod watch;

pub use agent_guest::AgentGuest;
pub use build::{BuildPlace, BuiltFile};
pub use collect::collect;
pub use guest::{Carried, Command, Control, End, Event, Events, Guest, GuestError};
pub use imports::{python_imports, script_of};
pub use outcome::{Outcome, Stage};
pub use output::{Capture, Channel, Sink};
pub use program::{Program, ProgramError};
pub use report::{About, Adaptive, Report, Returned};
pub use transfer::{Download, TransferError, Upload};

use crate::execute::build::Key;
use crate::execute::outcome::Facts;
use crate::execute::plan::Plan;
use crate::execute::watch::Watch;
use soulbox_model::Phases;
use soulbox_model::language::{Program as Tool, Way};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncRead;

/// Why a piece of code could not be run. That it ran and failed is an [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The template lacks programs that the language needs.
    #[error(
        "the template {template} has no {}, which {language} needs",
        names(missing)
    )]
    ProgramMissing {
        /// The template.
        template: String,
        /// The language.
        language: &'static str,
        /// What is missing.
        missing: Vec<Tool>,
    },
    /// A file could not be copied in.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// Output could not be passed on.
    #[error("cannot pass on the output")]
    Sink(#[source] io::Error),
    /// The sandbox refused or did not answer.
    #[error("the sandbox failed while {doing}")]
    Guest {
        /// What was being done.
        doing: String,
        /// What it said.
        source: GuestError,
    },
}

fn names(missing: &[Tool]) -> String {
    missing
        .iter()
        .map(|tool| tool.name)
        .collect::<Vec<_>>()
        .join(" and no ")
}

/// A piece of code to run, and how.
#[derive(Debug, Clone)]
pub struct Execution {
    /// What is run.
    pub program: Program,
    /// The program's own arguments.
    pub arguments: Vec<String>,
    /// Environment variables, on top of those of the sandbox.
    pub variables: BTreeMap<String, String>,
    /// Files of the host that are copied in before it starts.
    pub uploads: Vec<Upload>,
    /// Files of the sandbox that are copied out when it has ended, however it ended.
    pub downloads: Vec<Download>,
    /// How long it may take, compiling included.
    pub timeout: Duration,
    /// The most that it may print on each of stdout and stderr, in bytes; none: no limit.
    pub output_limit: Option<u64>,
    /// How long its children may still print after it was ended.
    pub drain: Duration,
    /// The largest file that is copied in or out, in bytes.
    pub file_limit: u64,
    /// The user inside the sandbox; none: `user`.
    pub user: Option<String>,
    /// Where it runs; none: where its files are.
    pub workdir: Option<String>,
    /// Where what is compiled is kept; none: nowhere.
    pub builds: Option<BuildPlace>,
}

/// Runs a piece of code in `guest` to its end. Output goes to `sink` as it comes; a slow sink
/// slows the program down. When `stop` completes first, the program is ended.
///
/// # Errors
/// [`ExecuteError`] when the code could not be run at all, or its output could not be passed on.
pub async fn execute(
    guest: &impl Guest,
    execution: &Execution,
    stdin: Option<impl AsyncRead + Send + Unpin>,
    sink: &mut impl Sink,
    stop: impl Future<Output = ()> + Send,
) -> Result<Outcome, ExecuteError> {
    let begun = Instant::now();
    let mut phases = Phases::default();
    let mut watch = Watch::new(execution, Box::pin(stop));
    let places = transfer::open_places(&execution.downloads);
    let carried = transfer::carried(guest, execution);
    if carried.is_none()
        && watch
            .guard(transfer::copy_in(guest, execution))
            .await
            .transpose()?
            .is_none()
    {
        return Ok(Outcome::decide(
            Facts::before(watch.stopped()),
            Stage::CopyIn,
        ));
    }
    let mut clock = begun;
    lap(&mut phases, "copy_in", &mut clock);

    watch.start_clock();
    let given = (execution, carried);
    let (facts, stage) = run(guest, given, stdin, sink, &mut watch, |step| {
        lap(&mut phases, step, &mut clock);
    })
    .await?;
    let mut outcome = Outcome::decide(facts, stage);
    if outcome.cause != soulbox_model::Cause::Killed {
        outcome.failed_downloads = transfer::copy_out(guest, execution, places).await;
        lap(&mut phases, "copy_out", &mut clock);
    }
    outcome.printed = watch.printed();
    outcome.overrun = watch.overrun();
    outcome.duration = begun.elapsed();
    outcome.phases = phases;
    Ok(outcome)
}

/// Compiles where the language wants it, then runs. What is carried is not in the sandbox yet.
async fn run(
    guest: &impl Guest,
    (execution, mut carried): (&Execution, Option<Vec<Carried>>),
    stdin: Option<impl AsyncRead + Send + Unpin>,
    sink: &mut impl Sink,
    watch: &mut Watch<'_>,
    mut done: impl FnMut(&'static str),
) -> Result<(Facts, Stage), ExecuteError> {
    let way = find_way(guest, &execution.program).await?;
    let plan = Plan::of(way, &execution.program, &execution.arguments);
    let kept = Kept::find(execution, &plan).await;
    if let Some(build) = kept.as_ref().and_then(|kept| kept.build.as_ref()) {
        if !build::carry(&mut carried, build) {
            let put = watch.guard(build::put_in(guest, execution, build)).await;
            if put.transpose()?.is_none() {
                return Ok((Facts::before(watch.stopped()), Stage::Compile));
            }
        }
        done("cached");
    } else if let Some(words) = plan.compile {
        let files = carried.take().unwrap_or_default();
        let user = execution.user.as_deref();
        let written = watch.guard(transfer::write_all(guest, user, files)).await;
        if written.transpose()?.is_none() {
            return Ok((Facts::before(watch.stopped()), Stage::CopyIn));
        }
        let command = command(execution, words, Some(&execution.program.home));
        let nothing = None::<tokio::io::Empty>;
        let ended = process::run(guest, &command, nothing, sink, watch).await;
        let facts = explain(guest, execution, way, ended).await?;
        done("compile");
        if !facts.went_well() {
            return Ok((facts, Stage::Compile));
        }
        if let (Some(kept), Some(product)) = (kept, &plan.product) {
            let taken = build::take_out(guest, execution, product, kept.most());
            if watch
                .guard(taken)
                .await
                .map(|build| kept.keep(build))
                .is_none()
            {
                return Ok((Facts::before(watch.stopped()), Stage::Compile));
            }
            done("keep");
        }
    }
    let workdir = execution
        .workdir
        .as_deref()
        .unwrap_or(&execution.program.home);
    let command = Command {
        files: carried.unwrap_or_default(),
        ..command(execution, plan.run, Some(workdir))
    };
    let ended = process::run(guest, &command, stdin, sink, watch).await;
    let facts = explain(guest, execution, way, ended).await?;
    done("run");
    Ok((facts, Stage::Run))
}

/// Where the build of a program is kept.
struct Kept<'e> {
    place: &'e BuildPlace,
    key: Key,
    build: Option<Arc<Vec<BuiltFile>>>,
}

impl<'e> Kept<'e> {
    /// Looks for a build of the program; none where builds are not kept.
    async fn find(execution: &'e Execution, plan: &Plan) -> Option<Self> {
        let place = execution.builds.as_ref()?;
        let key = Key::of(place, execution, plan)?;
        let build = place.builds.get(&place.team, key).await;
        Some(Self { place, key, build })
    }

    fn most(&self) -> u64 {
        self.place.builds.bounds().one
    }

    fn keep(self, build: Option<Vec<BuiltFile>>) {
        if let Some(build) = build {
            let BuildPlace { builds, team, .. } = self.place;
            builds.keep(team, self.key, build);
        }
    }
}

fn command(execution: &Execution, words: Vec<String>, workdir: Option<&str>) -> Command {
    Command {
        words,
        variables: execution.variables.clone(),
        workdir: workdir.map(str::to_owned),
        user: execution.user.clone(),
        stdin: false,
        forked: matches!(execution.program.language.name, "python" | "javascript"),
        files: Vec::new(),
    }
}

/// The first way to run the language whose programs the sandbox has. Where there is only one, it
/// is tried without asking: asking takes as long as starting.
async fn find_way(guest: &impl Guest, program: &Program) -> Result<&'static Way, ExecuteError> {
    let ways = program.language.ways;
    let mut first_missing = None;
    for way in ways {
        if ways.len() == 1 {
            return Ok(way);
        }
        let missing = missing(guest, way).await?;
        if missing.is_empty() {
            return Ok(way);
        }
        first_missing.get_or_insert(missing);
    }
    Err(lacks(guest, program, first_missing.unwrap_or_default()))
}

fn lacks(guest: &impl Guest, program: &Program, missing: Vec<Tool>) -> ExecuteError {
    ExecuteError::ProgramMissing {
        template: guest.template(),
        language: program.language.name,
        missing,
    }
}

/// The programs of `way` that the sandbox does not have.
async fn missing(guest: &impl Guest, way: &Way) -> Result<Vec<Tool>, ExecuteError> {
    let mut missing = Vec::new();
    for tool in way.needs {
        let looked = guest.has_program(tool.name).await;
        let found = looked.map_err(|source| ExecuteError::Guest {
            doing: format!("looking for {}", tool.name),
            source,
        })?;
        if !found {
            missing.push(*tool);
        }
    }
    Ok(missing)
}

/// Finds out why a command did not start: a program that is missing is told as such.
async fn explain(
    guest: &impl Guest,
    execution: &Execution,
    way: &Way,
    ended: Result<Facts, ExecuteError>,
) -> Result<Facts, ExecuteError> {
    let Err(ExecuteError::Guest {
        source: GuestError::Refused(_) | GuestError::NotFound(_),
        ..
    }) = &ended
    else {
        return ended;
    };
    match missing(guest, way).await {
        Ok(missing) if !missing.is_empty() => Err(lacks(guest, &execution.program, missing)),
        _ => ended,
    }
}

/// Notes how long a step took and begins the next.
fn lap(phases: &mut Phases, step: &str, since: &mut Instant) {
    let now = Instant::now();
    let micros = now.duration_since(*since).as_micros();
    phases.push(step, u64::try_from(micros).unwrap_or(u64::MAX));
    *since = now;
}

#[cfg(test)]
mod tests;
