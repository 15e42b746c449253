//! Carrying out a build: in a task of its own, so that it goes on when the client has gone.

use super::log::{BuildLine, BuildLog, Level, LogQuery};
use super::record::{BuildRecord, BuildStatus, Reason, TemplateEntry};
use super::upload::Uploads;
use crate::control::Control;
use crate::error::{ControlError, in_one_line};
use soulbox_image::oci::registry::TrustError;
use soulbox_image::record::TemplateRecord;
use soulbox_image::steps::{Plan, RegistryAuth};
use soulbox_model::{BuildId, Moment, TeamId, TemplateId};
use soulbox_node::template::images::Images;
use soulbox_node::template::steps::{
    Boxed, Happened, ImageGround, Sources, StepBuilder, StepError, StepEvent, StepFailure,
};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// How many events of a build wait to be written down.
const EVENTS: usize = 4096;
/// The longest reason, in bytes.
const REASON: usize = 2000;

/// What a client wants to have built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The whole of it.
    pub plan: Plan,
    /// How many steps of the target stand before the client's own.
    pub before: usize,
    /// How many steps are the client's own.
    pub steps: usize,
}

impl Wanted {
    /// The client's word for a step of the target.
    fn label(&self, step: usize) -> String {
        match step.checked_sub(self.before) {
            None | Some(0) => "base".to_owned(),
            Some(own) if own <= self.steps => own.to_string(),
            Some(_) => "finalize".to_owned(),
        }
    }
}

/// A build that runs.
pub(crate) struct Running {
    log: Arc<BuildLog>,
    stop: watch::Sender<bool>,
}

impl Control {
    /// Starts a build that was begun.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`], [`ControlError::NoBuild`]; [`ControlError::BuildState`] when it was started
    /// before.
    pub async fn start_build(
        self: &Arc<Self>,
        team: &TeamId,
        (template, build): (&str, &str),
        wanted: Wanted,
    ) -> Result<(), ControlError> {
        let (entry, found) = self.build_of(team, template, build)?;
        let output = |error: std::io::Error| ControlError::Output {
            reason: format!("cannot begin the log of a build: {error}"),
        };
        let build = self
            .made
            .book
            .change(&entry.id, |entry| {
                let build = entry.build_mut(&found.id);
                let build = build.ok_or_else(|| ControlError::NoBuild(found.id.to_string()))?;
                if build.status != BuildStatus::Waiting {
                    return Err(ControlError::BuildState {
                        build: build.id.clone(),
                        status: build.status,
                    });
                }
                build.status = BuildStatus::Building;
                Ok(build.clone())
            })
            .await?;
        let log = match self.made.logs.begin(&build.id) {
            Ok(log) => Arc::new(log),
            Err(error) => {
                self.over(&entry.id, &build, Err(failure(&error, None)))
                    .await;
                return Err(output(error));
            }
        };
        let (stop, stopped) = watch::channel(false);
        let running = Running {
            log: Arc::clone(&log),
            stop,
        };
        self.made.running().insert(build.id.clone(), running);
        let control = Arc::clone(self);
        tokio::spawn(async move {
            let work = Work {
                control: Arc::clone(&control),
                team: entry.team.clone(),
                build: build.clone(),
                wanted,
                log: Arc::clone(&log),
            };
            // A fault of ours shall not leave it running for ever.
            let made = tokio::spawn(work.carry_out(stopped)).await;
            let made = made.unwrap_or_else(|error| Err(failure(&error, None)));
            match &made {
                Ok(_) => log.tell(Level::Info, None, "the template is ready"),
                Err(reason) => {
                    let text = format!("the build failed: {}", reason.message);
                    log.tell(Level::Error, reason.step.clone(), &text);
                }
            }
            control.over(&entry.id, &build, made).await;
            control.made.running().remove(&build.id);
        });
        Ok(())
    }

    /// Keeps the end of a build.
    async fn over(
        &self,
        template: &TemplateId,
        build: &BuildRecord,
        made: Result<TemplateRecord, Reason>,
    ) {
        let ready = made.is_ok();
        let change = |entry: &mut TemplateEntry| {
            let now = Moment::now();
            let missing = || ControlError::NoBuild(build.id.to_string());
            let kept = entry.build_mut(&build.id).ok_or_else(missing)?;
            kept.finished_at = Some(now);
            match made {
                Ok(record) => {
                    kept.status = BuildStatus::Ready;
                    kept.size = record.size;
                    entry.tag(&build.id, &build.tags, now);
                }
                Err(reason) => {
                    kept.status = BuildStatus::Error;
                    kept.reason = Some(reason);
                }
            }
            Ok(())
        };
        let kept = self.made.book.change(template, change).await;
        if let Err(error) = kept {
            let error = in_one_line(&error);
            tracing::warn!(%template, build = %build.id, error, "the end of a build is not kept");
            if ready && let Err(error) = self.made.book.doom(&build.on_disk).await {
                tracing::warn!(template = %build.on_disk, %error, "a template of no use stays on disk");
            }
        }
    }

    /// What a build told.
    ///
    /// # Errors
    /// [`ControlError::Output`] when its log cannot be read.
    pub async fn build_log(
        &self,
        build: &BuildId,
        query: LogQuery,
    ) -> Result<Vec<BuildLine>, ControlError> {
        let live = self
            .made
            .running()
            .get(build)
            .map(|running| Arc::clone(&running.log));
        let (logs, build) = (self.made.logs.clone(), build.clone());
        let read = move || match live {
            Some(live) => live.read(query),
            None => logs.read(&build, query),
        };
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|_| ControlError::Stopping)?;
        read.map_err(|error| ControlError::Output {
            reason: format!("cannot read the log of the build: {error}"),
        })
    }

    /// Ends a build.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`], [`ControlError::NoBuild`]; [`ControlError::BuildState`] when it is over.
    pub async fn cancel_build(
        &self,
        team: &TeamId,
        template: &str,
        build: &str,
    ) -> Result<(), ControlError> {
        let (entry, build) = self.build_of(team, template, build)?;
        if self.stop_build(&build.id) {
            return Ok(());
        }
        let change = |entry: &mut TemplateEntry| {
            let missing = || ControlError::NoBuild(build.id.to_string());
            let build = entry.build_mut(&build.id).ok_or_else(missing)?;
            if build.status != BuildStatus::Waiting {
                return Err(ControlError::BuildState {
                    build: build.id.clone(),
                    status: build.status,
                });
            }
            build.status = BuildStatus::Error;
            build.finished_at = Some(Moment::now());
            build.reason = Some(Reason {
                message: StepError::Stopped.to_string(),
                step: None,
            });
            Ok(())
        };
        self.made.book.change(&entry.id, change).await
    }

    /// Tells a build to stop, if it runs.
    pub(super) fn stop_build(&self, build: &BuildId) -> bool {
        let running = self.made.running();
        running
            .get(build)
            .is_some_and(|running| running.stop.send(true).is_ok())
    }

    /// Ends all builds.
    pub(crate) fn stop_builds(&self) {
        for running in self.made.running().values() {
            // One whose task has ended needs no telling.
            let _ = running.stop.send(true);
        }
    }
}

fn failure(error: &dyn std::error::Error, step: Option<String>) -> Reason {
    let mut message = in_one_line(error);
    if message.len() > REASON {
        let end = (0..=REASON).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    Reason { message, step }
}

/// One build, as its task has it.
struct Work {
    control: Arc<Control>,
    team: TeamId,
    build: BuildRecord,
    wanted: Wanted,
    log: Arc<BuildLog>,
}

impl Work {
    async fn carry_out(self, mut stop: watch::Receiver<bool>) -> Result<TemplateRecord, Reason> {
        let places = Arc::clone(&self.control.made.places);
        if places.available_permits() == 0 {
            self.log
                .tell(Level::Info, None, "waiting for other builds to be done");
        }
        let stopped = |stop: &watch::Receiver<bool>| {
            let mut stop = stop.clone();
            async move {
                if stop.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let _place = tokio::select! {
            place = places.acquire_owned() => place.ok(),
            () = stopped(&stop) => return Err(failure(&StepError::Stopped, None)),
        };
        stop.mark_unchanged();
        let (events, mut heard) = mpsc::channel(EVENTS);
        let settings = &self.control.settings;
        let sources = Given {
            team: &self.team,
            uploads: &self.control.made.uploads,
            images: Images::for_clients(settings, &self.control.templates),
        };
        let limits = crate::template::limits(settings.sandbox.limits(), &self.build);
        let make = async {
            // The events end with what makes them.
            let events = events;
            let builder = StepBuilder {
                store: &self.control.templates,
                node: &self.control.node,
                sources: &sources,
                limits,
                timeout: settings.template.step_timeout,
                events: &events,
            };
            let mut stopped = Box::pin(stopped(&stop));
            let plan = &self.wanted.plan;
            builder
                .build(plan, &self.build.on_disk, stopped.as_mut())
                .await
        };
        let tell = async {
            while let Some(event) = heard.recv().await {
                self.tell(event);
            }
        };
        let (made, ()) = tokio::join!(make, tell);
        made.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &StepFailure) -> Reason {
        failure(&error.source, Some(self.label(error.stage, error.step)))
    }

    fn label(&self, stage: usize, step: usize) -> String {
        match stage == self.wanted.plan.target {
            true => self.wanted.label(step),
            false => "base".to_owned(),
        }
    }

    fn tell(&self, event: StepEvent) {
        let here = event.stage == self.wanted.plan.target;
        let is_ours = here && (1..=self.wanted.before).contains(&event.step);
        if is_ours && matches!(event.what, Happened::Began(_) | Happened::Done { .. }) {
            return;
        }
        let label = self.label(event.stage, event.step);
        let place = match label.parse::<usize>() {
            Ok(number) => format!("[builder {number}/{}]", self.wanted.steps),
            Err(_) => format!("[{label}]"),
        };
        let (level, text) = match event.what {
            Happened::Began(text) => (Level::Info, format!("{place} {text}")),
            Happened::Cached => (Level::Info, format!("CACHED {place}")),
            Happened::Waits => (
                Level::Info,
                format!("{place} another build does the same; waiting for it"),
            ),
            Happened::Line(text) => (Level::Info, text),
            Happened::Progress { percent, text } => (Level::Debug, format!("{percent} % {text}")),
            Happened::Done { took, size } => {
                let took = format!("{place} done in {:.1} s", took.as_secs_f64());
                let size = size.map(|size| format!(", {}", soulbox_model::ByteSize(size)));
                (Level::Debug, took + &size.unwrap_or_default())
            }
        };
        self.log.tell(level, Some(label), &text);
    }
}

/// What the plan of a client may refer to.
struct Given<'a> {
    team: &'a TeamId,
    uploads: &'a Uploads,
    /// Without what the operator alone may reach.
    images: Result<Images, TrustError>,
}

impl Sources for Given<'_> {
    fn upload(&self, hash: &str) -> Option<PathBuf> {
        self.uploads.find(self.team, hash)
    }

    fn image<'a>(
        &'a self,
        reference: &'a str,
        auth: Option<&'a RegistryAuth>,
        told: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>> {
        match &self.images {
            Ok(images) => images.image(reference, auth, told),
            Err(error) => Box::pin(async move {
                Err(StepError::Base {
                    what: format!("image {reference}"),
                    why: in_one_line(error),
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_image::steps::Base;
    use soulbox_image::steps::Stage;

    #[test]
    fn steps_are_called_as_the_client_counts_them() {
        let stage = Stage {
            name: None,
            base: Base::Scratch,
            steps: Vec::new(),
        };
        let wanted = Wanted {
            plan: Plan {
                stages: vec![stage],
                target: 0,
            },
            before: 2,
            steps: 3,
        };
        let labels: Vec<_> = (0..8).map(|step| wanted.label(step)).collect();
        assert_eq!(
            labels,
            [
                "base", "base", "base", "1", "2", "3", "finalize", "finalize"
            ]
        );
    }

    #[test]
    fn a_reason_is_not_too_long() {
        let error = StepError::NotGiven("ä".repeat(REASON));
        let reason = failure(&error, Some("1".into()));
        assert!(reason.message.len() <= REASON + '…'.len_utf8());
    }
}
