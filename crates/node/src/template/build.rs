//! Building a template: the turn, the sandbox, the place in the store.

use crate::execute::Channel;
use crate::template::script::{ScriptEnd, ScriptRunner, Stop};
use crate::template::{TemplateError, TemplateStore};
use soulbox_image::build::{Build, BuildStep, BuildTurn, Parent};
use soulbox_image::progress::{BuildEvent, Lines};
use soulbox_image::recipe::Recipe;
use soulbox_image::record::TemplateRecord;
use soulbox_model::TemplateName;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often a build that waits for another one looks whether that is done. A lock between
/// processes cannot be waited for together with anything else.
const LOOK: Duration = Duration::from_millis(200);

impl TemplateStore {
    /// Builds the template that `recipe` makes; an older one of its name is replaced at the end.
    /// If another process builds the same template, that is waited for, and its result taken if
    /// it was made from the same recipe.
    ///
    /// What happens goes to `events` as far as there is room: a slow reader misses lines, the
    /// build does not wait for it. When `stop` completes, the build is ended, and nothing of it
    /// is left.
    ///
    /// # Errors
    /// [`TemplateError`]; the older template is as it was then.
    pub async fn build(
        &self,
        recipe: Recipe,
        runner: &impl ScriptRunner,
        cpu_millis: u32,
        events: &Sender<BuildEvent>,
        mut stop: Stop<'_>,
    ) -> Result<TemplateRecord, TemplateError> {
        let turn = match self.turn(&recipe, events, stop.as_mut()).await? {
            Turn::Mine(turn) => turn,
            Turn::Done(record) => return Ok(*record),
        };
        phase(events, 0, "preparing");
        let build = self.begin(turn, recipe).await?;
        let step = build.step(cpu_millis);
        let (mut stdout, mut stderr) = (Lines::default(), Lines::default());
        let mut output = |channel: Channel, bytes: &[u8]| {
            let lines = match channel {
                Channel::Stdout => &mut stdout,
                Channel::Stderr => &mut stderr,
            };
            for event in lines.feed(bytes) {
                events.try_send(event).ok();
            }
        };
        let ended = runner.run(&step, &mut output, stop).await;
        let ended = ended.map_err(|source| TemplateError::Sandbox {
            name: build.name().clone(),
            source,
        })?;
        for event in [stdout.end(), stderr.end()].into_iter().flatten() {
            events.try_send(event).ok();
        }
        if let Some(error) = failure(&build, ended, &step, &[stdout.last(), stderr.last()]) {
            // Removes the tree, which can take a second.
            blocking(move || {
                drop(build);
                Ok(())
            })
            .await?;
            return Err(error);
        }
        phase(events, 99, "writing the tree to disk");
        let record = blocking(move || Ok(build.finish()?)).await?;
        phase(events, 100, "done");
        Ok(record)
    }

    /// Waits until nobody else builds the same template.
    async fn turn(
        &self,
        recipe: &Recipe,
        events: &Sender<BuildEvent>,
        mut stop: Stop<'_>,
    ) -> Result<Turn, TemplateError> {
        let name = &recipe.name;
        let before = self.record(name);
        let mut waited = false;
        loop {
            if let Some(turn) = BuildTurn::try_take(&self.directory, name)? {
                let done = self.record(name).filter(|record| {
                    waited
                        && before.as_ref() != Some(record)
                        && record.recipe.as_deref() == Some(recipe.hash())
                });
                return Ok(done.map_or(Turn::Mine(turn), |record| Turn::Done(Box::new(record))));
            }
            if !waited {
                waited = true;
                events.try_send(BuildEvent::Waiting).ok();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.as_mut() => return Err(TemplateError::Stopped(name.clone())),
            }
        }
    }

    /// Begins a build; the parent is held until that is done.
    async fn begin(&self, turn: BuildTurn, recipe: Recipe) -> Result<Build, TemplateError> {
        let store = self.clone();
        blocking(move || {
            let parent = store.get(&recipe.manifest.parent)?;
            let host = super::host_root()?;
            let parent = Parent {
                record: &parent.record,
                layers: &parent.layers,
            };
            Ok(Build::begin(turn, &store.directory, recipe, parent, &host)?)
        })
        .await
    }

    fn record(&self, name: &TemplateName) -> Option<TemplateRecord> {
        TemplateRecord::read(&self.place(name)).ok()
    }
}

/// What waiting for one's turn came to.
enum Turn {
    Mine(BuildTurn),
    /// Another process made the same template meanwhile.
    Done(Box<TemplateRecord>),
}

/// The error of a script that did not end well.
fn failure(
    build: &Build,
    ended: ScriptEnd,
    step: &BuildStep,
    printed: &[String],
) -> Option<TemplateError> {
    let how = match ended {
        ScriptEnd::Exited(0) => return None,
        ScriptEnd::Stopped => return Some(TemplateError::Stopped(build.name().clone())),
        ScriptEnd::Exited(code) => format!("exit code {code}"),
        ScriptEnd::Signalled(signal) => format!("ended by signal {signal}"),
        ScriptEnd::TimedOut => format!("not done after {} s", step.timeout.as_secs()),
        ScriptEnd::OutOfMemory => format!("out of memory at {}", step.limits.memory),
    };
    let lines = printed.join("\n").trim().to_owned();
    Some(build.failed(how, lines).into())
}

fn phase(events: &Sender<BuildEvent>, percent: u8, text: &str) {
    let text = text.to_owned();
    events.try_send(BuildEvent::Phase { percent, text }).ok();
}

/// Does file work where it holds nothing else up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send + 'static,
) -> Result<T, TemplateError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(TemplateError::Ending))
}
