//! Runs: a fresh sandbox, one piece of code in it, and the end of both.
//!
//! ```text
//! place among the runs ─▶ create ─▶ execute ─▶ files ─▶ answer ─▶ destroy
//! ```
//!
//! A task of its own owns the run: whoever asked may go away at any moment, which ends the run at once. Its
//! sandbox lives among all others, so that its owner sees it and can end it, but its record is kept only when it
//! has ended: nobody was told of it before, and a server that finds a sandbox without a record ends it.
//!
//! | What | File |
//! |---|---|
//! | the sandbox, as running code sees it | `guest` |
//! | limits from what runs like it used before | `adaptive`, `features` |
//! | runs that may be asked for again | `once` |

mod adaptive;
mod features;
mod guest;
mod once;

pub(crate) use adaptive::Pasts;
pub use guest::Leader;
pub use once::{RunClaim, RunTicket};

use crate::command::CreateRequest;
use crate::control::{Control, event};
use crate::create::{refused, variables};
use crate::error::ControlError;
use crate::live::Live;
use adaptive::Past;
use guest::Inside;
use soulbox_model::{
    Cause, EndCause, EventKind, Isolation, Lifecycle, Limits, NetworkMode, SandboxId, SandboxSpec,
    TeamId, TemplateName,
};
use soulbox_node::execute::{
    About, BuildPlace, ExecuteError, Execution, GuestError, Outcome, Report, Returned, Sink,
    collect, execute, script_of,
};
use soulbox_node::{Birth, Usage};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncRead;
use tokio::sync::oneshot;

/// How much longer than its code a sandbox may live: files in and out, and the end of what hangs. It is for when
/// the server that would have ended it is gone.
const MARGIN: Duration = Duration::from_secs(60);

/// Code that is to be run in a sandbox of its own.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// What the sandbox is made from.
    pub template: TemplateName,
    /// What it may use.
    pub limits: Limits,
    /// Whether less memory and processors are given where runs like it needed less.
    pub adaptive: bool,
    /// What it reaches.
    pub network: NetworkMode,
    /// The level of isolation.
    pub isolation: Isolation,
    /// What is run, and how. Files of the host are neither read nor written.
    pub execution: Execution,
    /// Paths of files that are answered; `*` and `?` in a last part stand for any letters and any letter.
    pub returns: Vec<String>,
}

/// Who hears of a run while it goes on.
pub trait Listener: Sink + 'static {
    /// The sandbox is there, and the code is about to be started.
    fn started(&mut self, started: Started) -> impl Future<Output = ()> + Send;
}

/// A run whose sandbox is there.
#[derive(Debug, Clone)]
pub struct Started {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// What it was made from.
    pub template: TemplateName,
    /// The language of the code.
    pub language: &'static str,
    /// The way to the process that runs.
    pub leader: Arc<Leader>,
}

/// A run that is over.
#[derive(Debug)]
pub struct Ran<S> {
    /// What is known of its sandbox.
    pub report: Report,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// The files that were asked for.
    pub files: Vec<Returned>,
    /// Who heard of it.
    pub listener: S,
}

impl Control {
    /// The template of a run that names none: that of the settings if it is there, else `base`.
    ///
    /// # Errors
    /// As [`Control::template`].
    pub fn template_of_run(
        &self,
        team: &TeamId,
        named: Option<&str>,
    ) -> Result<TemplateName, ControlError> {
        if let Some(name) = named {
            return self.template(team, name);
        }
        let usual = self.of_server(&self.settings.execute.template);
        usual.or_else(|_| self.of_server("base"))
    }

    /// Runs code in a sandbox of its own. When what this gives is dropped, or `stop` completes, the run is ended.
    ///
    /// # Errors
    /// [`ControlError`]: it could not be run at all. That the code failed is an outcome.
    pub async fn run<S: Listener>(
        self: &Arc<Self>,
        team: &TeamId,
        request: RunRequest,
        stdin: Option<impl AsyncRead + Send + Unpin + 'static>,
        listener: S,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Ran<S>, ControlError> {
        self.check_timeout(request.execution.timeout)?;
        let place = self.runs.enter().await?;
        let (answer, answered) = oneshot::channel();
        let (control, team) = (Arc::clone(self), team.clone());
        tokio::spawn(async move {
            // Taken until nothing of it is left: those that are being ended are not without number.
            let _place = place;
            control
                .run_to_its_end(&team, request, stdin, listener, stop, answer)
                .await;
        });
        answered.await.unwrap_or(Err(ControlError::Stopping))
    }

    async fn run_to_its_end<S: Listener>(
        self: &Arc<Self>,
        team: &TeamId,
        mut request: RunRequest,
        stdin: Option<impl AsyncRead + Send + Unpin>,
        mut listener: S,
        stop: impl Future<Output = ()> + Send,
        mut answer: oneshot::Sender<Result<Ran<S>, ControlError>>,
    ) {
        let began = Instant::now();
        let past = self.adapt(team, &mut request).await;
        let made = tokio::select! {
            biased;
            // What was begun is given back when it is dropped.
            () = answer.closed() => return,
            made = self.make_for_run(team, &request) => made,
        };
        self.records.metrics().created(&made, began.elapsed());
        let live = match made {
            Ok(live) => live,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        self.count_spawn(&live.record());
        self.take_in(Arc::clone(&live)).await;
        let ways = request.execution.program.language.ways;
        if ways.iter().any(|way| !way.compile.is_empty()) {
            request.execution.builds = self.builds_of(team, &live).await;
        }
        let own = variables(&live.id(), &request.sandbox());
        let inside = Inside::new(Arc::clone(&live), &request.template, own);
        listener
            .started(Started {
                sandbox: live.id(),
                template: request.template.clone(),
                language: request.execution.program.language.name,
                leader: inside.leader(),
            })
            .await;
        let over = live.over();
        let mut ended = {
            let stop = async {
                tokio::select! {
                    () = answer.closed() => {}
                    () = stop => {}
                    () = over => {}
                }
            };
            execute(&inside, &request.execution, stdin, &mut listener, stop).await
        };
        if let (Ok(outcome), Some(past)) = (&mut ended, &past) {
            past.judge(outcome);
        }
        let (cause, detail) = end_of(&ended, past.as_ref());
        let mut used = None;
        let answered = match ended {
            Ok(outcome) => {
                let ran = self
                    .told(&inside, &request, outcome, past.as_ref(), listener)
                    .await;
                used = past
                    .as_ref()
                    .and_then(|past| past.counts(&ran.outcome, ran.usage));
                Ok(ran)
            }
            Err(error) => Err(self.failed(&live, error)),
        };
        if let (Some(past), Some(used)) = (&past, used) {
            // Before the answer: whoever has it and asks again is answered from it.
            self.learn(past, used).await;
        }
        // Who asked has what it asked for; the sandbox goes meanwhile.
        let _ = answer.send(answered);
        self.end(&live, cause, &detail).await;
    }

    /// Makes the sandbox; nothing is kept of it yet.
    async fn make_for_run(
        self: &Arc<Self>,
        team: &TeamId,
        request: &RunRequest,
    ) -> Result<Arc<Live>, ControlError> {
        let _place = self.admission.enter().await?;
        let asked = request.sandbox();
        let mut birth = Birth {
            team: Some(team.clone()),
            script: Some(script_of(&request.execution.program)),
            ..Birth::default()
        };
        let record = self.record(team.clone(), birth.id.clone(), &asked);
        birth.deadline = Some(crate::life::deadline(&record));
        self.place(&record)?;
        let spec = SandboxSpec {
            template: asked.template,
            isolation: asked.isolation,
            limits: record.limits,
            network: asked.network,
            mounts: Vec::new(),
        };
        let created = self.records.told(&record, &event(EventKind::Created, ""));
        let made = self.node.create_as(spec, birth).await;
        let sandbox = made.map_err(|error| refused(error, record.template.to_string()))?;
        self.records.hub().tell(created.clone());
        Ok(Arc::new(Live::of_run(record, sandbox, created)))
    }

    /// Where what is compiled in a sandbox is kept.
    async fn builds_of(&self, team: &TeamId, live: &Live) -> Option<BuildPlace> {
        let (builds, sandbox) = (self.builds.as_ref()?, live.sandbox().await?);
        BuildPlace::of(builds, team, &sandbox)
    }

    /// What is told of a run that is over.
    async fn told<S>(
        &self,
        inside: &Inside,
        request: &RunRequest,
        mut outcome: Outcome,
        past: Option<&Past>,
        listener: S,
    ) -> Ran<S> {
        let mut files = Vec::new();
        if outcome.cause != Cause::Killed && !request.returns.is_empty() {
            let began = Instant::now();
            let most = &self.settings.execute;
            let user = request.execution.user.as_deref();
            let (found, failed) = collect(inside.agent(), &request.returns, user, most).await;
            files = found;
            outcome.failed_downloads.extend(failed);
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            outcome.phases.push("files", micros);
        }
        let (usage, memory_kill) = inside.used().await;
        let about = About {
            sandbox: inside.id().to_string(),
            template: request.template.to_string(),
            isolation: request.isolation.as_str().to_owned(),
            not_enforced: self.node.not_enforced().to_vec(),
            create: inside.phases(),
            memory: request.limits.memory_max,
            memory_kill,
            adaptive: past.map(|past| past.told(outcome.cause)),
        };
        Ran {
            report: Report::of(about, &request.execution),
            outcome,
            usage,
            files,
            listener,
        }
    }

    /// Why code could not be run at all.
    fn failed(&self, live: &Live, error: ExecuteError) -> ControlError {
        if let Some(end) = live.look(|record| record.ended.clone()) {
            let id = live.id();
            tracing::warn!(sandbox = %id, cause = end.cause.as_str(), "a run's sandbox ended");
            return ControlError::Ended(id);
        }
        match error {
            ExecuteError::ProgramMissing { ref missing, .. } => {
                let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
                ControlError::ProgramMissing {
                    what: error.to_string(),
                    packages: packages.join(" and "),
                }
            }
            ExecuteError::Transfer(error) => {
                ControlError::invalid("files", crate::error::in_one_line(&error))
            }
            // A user or a directory that is not there, say.
            ExecuteError::Guest {
                doing,
                source: GuestError::Refused(said) | GuestError::NotFound(said),
            } => ControlError::Refused {
                reason: format!("the sandbox failed while {doing}: {said}"),
            },
            error => ControlError::Run(error.into()),
        }
    }
}

impl RunRequest {
    /// The sandbox that it asks for.
    fn sandbox(&self) -> CreateRequest {
        CreateRequest {
            template: self.template.clone(),
            timeout: self.execution.timeout.saturating_add(MARGIN),
            lifecycle: Lifecycle::default(),
            metadata: BTreeMap::new(),
            variables: BTreeMap::new(),
            network: self.network,
            network_rules: None,
            secure: true,
            private_traffic: false,
            mask_host: None,
            isolation: self.isolation,
            limits: Some(self.limits),
            once: None,
        }
    }
}

/// Why the sandbox of a run ends, in its own events.
fn end_of(ended: &Result<Outcome, ExecuteError>, past: Option<&Past>) -> (EndCause, String) {
    let Ok(outcome) = ended else {
        return (
            EndCause::Finished,
            "the code could not be run in it".to_owned(),
        );
    };
    let cause = match outcome.cause {
        Cause::OutOfMemory | Cause::OutOfAdaptiveMemory => EndCause::OutOfMemory,
        Cause::TimedOut => EndCause::Expired,
        Cause::Killed => EndCause::Killed,
        _ => EndCause::Finished,
    };
    if let (Cause::OutOfAdaptiveMemory, Some(past)) = (outcome.cause, past) {
        return (cause, past.message());
    }
    let word = outcome.cause.as_str().replace('_', " ");
    let detail = match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("its run is over: {word} with code {code}"),
        (None, Some(signal)) => format!("its run is over: {word} by signal {signal}"),
        (None, None) => format!("its run is over: {word}"),
    };
    (cause, detail)
}
