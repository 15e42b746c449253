//! Building from a Dockerfile.

use super::super::failed;
use super::Args;
use super::facts;
use super::given::Given;
use super::show::Shown;
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{self, Session};
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use serde_json::json;
use soulbox_image::dockerfile::{self, BaseFacts, Options, Planned, Platform};
use soulbox_image::record::TemplateRecord;
use soulbox_image::steps::{Base, Command, Plan, Step, StepKind};
use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TemplateName};
use soulbox_node::Node;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::images::Images;
use soulbox_node::template::steps::{StepBuilder, StepError, StepFailure};
use soulbox_runtime::agent_client::StartRequest;
use soulbox_settings::{Flag, Settings};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many events may wait to be shown.
const WAITING: usize = 4096;
/// How long the engine may take to end.
const ENDING: Duration = Duration::from_secs(10);

/// Flags of `soulbox template build` for Dockerfiles.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Dockerfiles")]
pub(super) struct Flags {
    /// The Dockerfile [default: Dockerfile in the directory]
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A value for an ARG; without a value the variable of that name
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The stage that becomes the template [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// A secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Do every step anew
    #[arg(long)]
    no_cache: bool,
    /// When a step fails, open a shell where it began
    #[arg(long)]
    shell_on_failure: bool,
    /// What runs in sandboxes of the template from their start, by a shell
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// What tells by exit code 0 that the start command is ready
    #[arg(long, value_name = "COMMAND")]
    ready: Option<String>,
    /// Take the command of HEALTHCHECK for that
    #[arg(long, conflicts_with = "ready")]
    ready_from_healthcheck: bool,
    /// Memory of a step, such as 512M or 2G [default: 1G]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Processor time of a step in CPUs [default: 2]
    #[arg(long, value_name = "CPUS")]
    cpu: Option<String>,
    /// How long one step may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    step_timeout: u64,
}

impl Flags {
    /// One that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.file.is_some(), "--file"),
            (!self.build_arg.is_empty(), "--build-arg"),
            (self.target.is_some(), "--target"),
            (!self.secret.is_empty(), "--secret"),
            (self.no_cache, "--no-cache"),
            (self.shell_on_failure, "--shell-on-failure"),
            (self.start.is_some(), "--start"),
            (self.ready.is_some(), "--ready"),
            (self.ready_from_healthcheck, "--ready-from-healthcheck"),
            (self.memory.is_some(), "--memory"),
            (self.cpu.is_some(), "--cpu"),
        ];
        let mut given = given.into_iter().filter(|(given, _)| *given);
        given.next().map(|(_, flag)| flag)
    }

    /// What the sandbox of a step may use, as settings.
    fn limits(&self) -> Vec<Flag> {
        let all = [
            ("sandbox.memory", "--memory", &self.memory),
            ("sandbox.cpu", "--cpu", &self.cpu),
        ];
        let given = all.into_iter().filter_map(|(key, flag, value)| {
            let value = value.clone()?;
            Some(Flag { key, flag, value })
        });
        given.collect()
    }

    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::new(Platform::host());
        options.target.clone_from(&self.target);
        options.healthcheck = self.ready_from_healthcheck;
        for text in &self.build_arg {
            options.args.extend(argument(text)?);
        }
        Ok(options)
    }

    /// Adds what the command line asks for to what the file says.
    fn apply(&self, plan: &mut Plan) {
        for stage in plan.stages.iter_mut().filter(|_| self.no_cache) {
            if let Some(first) = stage.steps.first_mut() {
                first.force = true;
            }
        }
        let start = self.start.iter().map(|text| {
            let kind = StepKind::Start(Some(Command::Shell(text.clone())));
            (format!("--start {text}"), kind)
        });
        let ready = self.ready.iter().map(|text| {
            let kind = StepKind::Ready(Some(text.clone()));
            (format!("--ready {text}"), kind)
        });
        let target = plan.target;
        if let Some(stage) = plan.stages.get_mut(target) {
            stage
                .steps
                .extend(start.chain(ready).map(|(text, kind)| Step {
                    text,
                    line: None,
                    kind,
                    force: false,
                }));
        }
    }
}

/// `NAME=VALUE`, or `NAME` for what the variable of that name says, if it is set.
fn argument(text: &str) -> Result<Option<(String, String)>, Failure> {
    let refused = |why: &str| Failure::new(Exit::USAGE, format!("--build-arg {text}: {why}"));
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (
            text,
            std::env::var_os(text).and_then(|value| value.into_string().ok()),
        ),
    };
    if name.is_empty() {
        return Err(refused("it has no name").help("write NAME=VALUE"));
    }
    Ok(value.map(|value| (name.to_owned(), value)))
}

pub(super) fn run(
    global: &Global,
    args: &Args,
    name: &TemplateName,
    directory: &Path,
    file: &Path,
) -> Result<Exit, Failure> {
    let mut flags = engine::without_pools();
    flags.extend(args.dockerfile.limits());
    let settings = global.settings(flags)?;
    let store = TemplateStore::new(&settings.paths.data_dir);
    let images = Images::new(&settings, &store);
    let given = Given::new(
        directory,
        file,
        &args.dockerfile.secret,
        &settings.paths.data_dir,
        images.map_err(|error| Failure::of(Exit::USAGE, &error))?,
    )?;
    let runtime = engine::runtime()?;
    let mut facts = |base: &Base| match base {
        Base::Image { reference, auth } => {
            runtime.block_on(facts::of_image(given.images(), reference, auth.as_ref()))
        }
        base => facts::of(&store, base),
    };
    let planned = planned(args, file, &mut facts)?;
    for warning in &planned.warnings {
        let line = match warning.line {
            0 => String::new(),
            line => format!(":{line}"),
        };
        terminal::warn(&format!(
            "warning: {}{line}: {}",
            file.display(),
            warning.text
        ));
    }
    let work = Work {
        args,
        file,
        name,
        given,
        plan: planned.plan,
        entered: OnceCell::new(),
    };
    let done = runtime.block_on(work.done(settings));
    let Some(entered) = work.entered.get() else {
        runtime.shutdown_background();
        return done;
    };
    // The engine holds the template until all of it has ended.
    runtime.shutdown_timeout(ENDING);
    if let Err(error) = store.remove(entered) {
        failed(&error).tell();
    }
    done
}

fn planned(
    args: &Args,
    file: &Path,
    facts: &mut dyn FnMut(&Base) -> Result<BaseFacts, String>,
) -> Result<Planned, Failure> {
    let text = std::fs::read(file).map_err(|error| {
        Failure::new(Exit::NOT_FOUND, format!("cannot read {}", file.display())).because(&error)
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Failure::new(
            Exit::USAGE,
            format!("{} is no text in UTF-8", file.display()),
        )
    })?;
    let options = args.dockerfile.options()?;
    let shown = file.to_string_lossy();
    let mut planned = dockerfile::plan(&shown, &text, &options, facts)
        .map_err(|error| Failure::of(Exit::USAGE, &error))?;
    args.dockerfile.apply(&mut planned.plan);
    Ok(planned)
}

/// One build.
struct Work<'a> {
    args: &'a Args,
    file: &'a Path,
    name: &'a TemplateName,
    given: Given,
    plan: Plan,
    /// The template of a failed step's beginning, while there is one.
    entered: OnceCell<TemplateName>,
}

impl Work<'_> {
    async fn done(&self, settings: Settings) -> Result<Exit, Failure> {
        let stop = Stop::listen()?;
        let store = TemplateStore::new(&settings.paths.data_dir);
        let node = engine::start(settings).await?;
        let mut shown = Shown::default();
        let built = self
            .build(&node, &store, (&self.plan, self.name), &stop, &mut shown)
            .await;
        let done = match built {
            Ok(record) => self.tell(&record, &shown),
            Err(failure) => {
                if self.args.dockerfile.shell_on_failure && can_be_entered(&failure.source) {
                    self.enter(&node, &store, &failure, &stop).await;
                }
                Err(self.failure(&failure))
            }
        };
        node.stop().await;
        done
    }

    async fn build(
        &self,
        node: &Node,
        store: &TemplateStore,
        (plan, name): (&Plan, &TemplateName),
        stop: &Stop,
        shown: &mut Shown,
    ) -> Result<TemplateRecord, StepFailure> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let progress = Progress::spinner(&format!("building template {name}"));
        let limits = node.settings().sandbox.limits();
        let mut asked = Box::pin(stop.wait());
        let building = async {
            let builder = StepBuilder {
                store,
                node,
                sources: &self.given,
                limits,
                timeout: Duration::from_secs(self.args.dockerfile.step_timeout),
                events: &sender,
            };
            let built = builder.build(plan, name, asked.as_mut()).await;
            drop(sender);
            built
        };
        let (built, ()) = tokio::join!(building, shown.follow(plan, receiver, &progress));
        built
    }

    fn tell(&self, record: &TemplateRecord, shown: &Shown) -> Result<Exit, Failure> {
        if self.args.json {
            terminal::print_json(&json!({ "template": record, "steps": shown.document() }))?;
        } else {
            terminal::print(&shown.table())?;
            let size = record.size.bytes() >> 20;
            terminal::print(&format!(
                "built template {}: {size} MiB, {} files, {} layers",
                record.name,
                record.files,
                record.layers.len()
            ))?;
        }
        Ok(Exit::SUCCESS)
    }

    /// What a failed step means for a person.
    fn failure(&self, failure: &StepFailure) -> Failure {
        let exit = match &failure.source {
            StepError::Stopped => Exit::KILLED,
            StepError::DiskFull => Exit::DISK_FULL,
            StepError::Create(_) => Exit::CREATE,
            StepError::Base { .. } | StepError::Image { .. } | StepError::NotGiven(_) => {
                Exit::NOT_FOUND
            }
            StepError::Template(error) => return failed(error),
            _ => Exit::NO,
        };
        let place = match failure.line {
            Some(line) => format!("{}:{line}: ", self.file.display()),
            None => String::new(),
        };
        let told = Failure::new(exit, format!("{place}{}", failure.source));
        let told = match std::error::Error::source(&failure.source) {
            Some(cause) => told.because(cause),
            None => told,
        };
        match &failure.source {
            StepError::Command { .. } if !self.args.dockerfile.shell_on_failure => {
                told.help("--shell-on-failure opens a shell where the step began")
            }
            _ => told,
        }
    }

    /// Opens a shell in a sandbox of what there was before the failed step. It is a template of
    /// its own for that long, whose layers are all there already.
    async fn enter(&self, node: &Node, store: &TemplateStore, failure: &StepFailure, stop: &Stop) {
        let name = format!("failed-build-{}", std::process::id());
        let Ok(name) = name.parse::<TemplateName>() else {
            return;
        };
        let plan = before(&self.plan, failure);
        let mut unseen = Shown::quiet();
        let made = self.build(node, store, (&plan, &name), stop, &mut unseen);
        if let Err(failure) = made.await {
            self.failure(&failure).tell();
            return;
        }
        terminal::warn("a shell where the failed step began; `exit` ends it");
        if let Err(failure) = self.shell(node, &name, stop).await {
            failure.tell();
        }
        self.entered.set(name).ok();
    }

    async fn shell(&self, node: &Node, name: &TemplateName, stop: &Stop) -> Result<(), Failure> {
        let internet = node.may_connect();
        let spec = SandboxSpec {
            template: name.clone(),
            isolation: Isolation::Namespace,
            limits: node.settings().sandbox.limits(),
            network: match internet {
                true => NetworkMode::Internet,
                false => NetworkMode::None,
            },
            mounts: Vec::new(),
        };
        let sandbox = engine::create(node, spec).await?;
        let request = StartRequest {
            cmd: "/bin/sh".to_owned(),
            args: vec!["-i".to_owned()],
            envs: session::with_defaults(std::collections::BTreeMap::default()),
            stdin: true,
            pty: session::terminal_size(),
            ..StartRequest::default()
        };
        let session = Session {
            client: sandbox.agent(),
            there: None,
            request: &request,
        };
        let done = tokio::select! {
            done = session.run() => done.map(|_| ()),
            () = stop.wait() => Ok(()),
        };
        sandbox.destroy().await;
        done
    }
}

fn can_be_entered(error: &StepError) -> bool {
    matches!(error, StepError::Command { .. } | StepError::Copy { .. })
}

/// The plan up to the step that failed.
fn before(plan: &Plan, failure: &StepFailure) -> Plan {
    let mut plan = plan.clone();
    plan.stages.truncate(failure.stage + 1);
    plan.target = failure.stage;
    if let Some(stage) = plan.stages.last_mut() {
        stage.steps.truncate(failure.step.saturating_sub(1));
        // Whoever asked for no cache has had every step done anew just now.
        for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
            step.force = false;
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_values_or_are_variables() {
        assert_eq!(argument("a=b=c").unwrap(), Some(("a".into(), "b=c".into())));
        assert_eq!(argument("a=").unwrap(), Some(("a".into(), String::new())));
        assert!(argument("PATH").unwrap().is_some());
        assert_eq!(argument("NO_SUCH_VARIABLE").unwrap(), None);
        assert!(argument("=x").is_err());
    }
}
