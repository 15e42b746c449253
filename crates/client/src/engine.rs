//! An engine in this process, asked as a server is.

use crate::client::ClientError;
use crate::create::NewSandbox;
use crate::execute::Execute;
use crate::run::Run;
use crate::running::{RunEvent, Running, Source};
use crate::sandboxes::Listed;
use crate::way::Way;
use bytes::Bytes;
use soulbox_model::{
    AskedLimits, IdError, Isolation, Language, LanguageError, LimitError, Moment, NetworkMode,
    SandboxId, SandboxSpec, TeamId, TemplateName,
};
use soulbox_node::builds::Builds;
use soulbox_node::execute::program::{Content, HOME, ProgramError, ProgramFile};
use soulbox_node::execute::{
    About, BuildPlace, Channel, ExecuteError, Execution, Program, Report, Sink, collect, execute,
};
use soulbox_node::template::TemplateStore;
use soulbox_node::{Birth, CreateError, Deadline, Node, NodeError, Sandbox, Then};
use soulbox_settings::Settings;
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The template of who names none.
const TEMPLATE: &str = "base";
/// Events that wait for a slow reader.
const WAITING: usize = 4;
/// How much longer than its code a sandbox may live: files in and out, and the end of what hangs.
const MARGIN: Duration = Duration::from_secs(60);

/// Why an engine did not do something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] NodeError),
    /// A sandbox cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A limit is out of range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A template's name cannot be one.
    #[error(transparent)]
    Template(#[from] IdError),
    /// A language is not known.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// The files of code do not go together.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Code could not be run at all.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A field cannot be as it is.
    #[error("{field}: {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why.
        why: &'static str,
    },
    /// It has no such sandbox.
    #[error("there is no sandbox {0}")]
    Gone(SandboxId),
    /// A run that is over cannot be told.
    #[error("cannot tell of a run")]
    Told(#[source] serde_json::Error),
}

/// An engine and its sandboxes.
pub(crate) struct Engine {
    node: Arc<Node>,
    builds: Option<Arc<Builds>>,
    live: Mutex<BTreeMap<SandboxId, Arc<Live>>>,
}

/// A sandbox that lives.
struct Live {
    sandbox: Sandbox,
    listed: Listed,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) async fn start(settings: Arc<Settings>) -> Result<Arc<Self>, EngineError> {
        let node = Node::start(settings).await?;
        Ok(Arc::new(Self {
            builds: Builds::of(node.settings()),
            node,
            live: Mutex::default(),
        }))
    }

    /// Makes a sandbox, which is in the list until its end.
    pub(crate) async fn create(
        self: &Arc<Self>,
        wish: &NewSandbox,
    ) -> Result<(SandboxId, Way), EngineError> {
        let settings = self.node.settings();
        if wish.auto_resume {
            let why = "a sandbox of an engine in one's own process is not resumed by requests";
            return Err(EngineError::Field {
                field: "auto_resume",
                why,
            });
        }
        let left = wish.timeout.unwrap_or(settings.server.timeout);
        let then = match wish.auto_pause {
            true => Then::Pause,
            false => Then::End,
        };
        let birth = Birth {
            variables: wish.env_vars.clone(),
            deadline: Some(Deadline { left, then }),
            ..Birth::default()
        };
        let spec = SandboxSpec {
            template: wish.template.as_deref().unwrap_or(TEMPLATE).parse()?,
            isolation: Isolation::Namespace,
            limits: wish.limits.over(settings.sandbox.limits())?,
            network: wish.network.unwrap_or(settings.sandbox.network),
            mounts: Vec::new(),
        };
        let sandbox = self.node.create_as(spec, birth).await?;
        let (id, way) = (sandbox.id().clone(), Way::here(sandbox.agent()));
        let end = sandbox.end();
        let listed = listed(&sandbox, wish, left);
        self.table()
            .insert(id.clone(), Arc::new(Live { sandbox, listed }));
        let (engine, ended) = (Arc::downgrade(self), id.clone());
        tokio::spawn(async move {
            end.await;
            if let Some(engine) = engine.upgrade() {
                engine.table().remove(&ended);
            }
        });
        Ok((id, way))
    }

    pub(crate) fn open(&self, id: &SandboxId) -> Result<Way, EngineError> {
        let table = self.table();
        let live = table.get(id);
        live.map(|live| Way::here(live.sandbox.agent()))
            .ok_or_else(|| EngineError::Gone(id.clone()))
    }

    /// Those that live, the newest first.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let mut all: Vec<_> = self.table().values().map(|live| live.now()).collect();
        all.sort_by(|one, other| other.started_at.cmp(&one.started_at));
        all
    }

    /// Ends one and waits until nothing of it is left.
    pub(crate) async fn kill(&self, id: &SandboxId) -> Result<(), EngineError> {
        let live = self.table().remove(id);
        let live = live.ok_or_else(|| EngineError::Gone(id.clone()))?;
        if let Some(live) = Arc::into_inner(live) {
            live.sandbox.destroy().await;
        }
        Ok(())
    }

    pub(crate) async fn stop(&self) {
        self.node.stop().await;
        if let Some(builds) = &self.builds {
            builds.settle().await;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<SandboxId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs code in a sandbox of its own.
    pub(crate) async fn execute(self: &Arc<Self>, code: &Execute) -> Result<Running, EngineError> {
        let mut job = self.job(code)?;
        let builds = self.builds.clone();
        let birth = Birth {
            deadline: Some(Deadline {
                left: job.execution.timeout.saturating_add(MARGIN),
                then: Then::End,
            }),
            ..Birth::default()
        };
        let sandbox = self.node.create_as(job.spec.clone(), birth).await?;
        let (events, receiver) = mpsc::channel(WAITING);
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            if let Some(builds) = &builds {
                job.execution.builds = BuildPlace::of(builds, &TeamId::default_team(), &sandbox);
            }
            let told = job.run(&node, &sandbox, &events).await;
            // Whoever asked may be gone.
            let _ = events.send(told.map_err(ClientError::from)).await;
            sandbox.destroy().await;
        });
        Ok(Running(Source::Engine(receiver)))
    }

    fn job(&self, code: &Execute) -> Result<Job, EngineError> {
        let settings = self.node.settings();
        let template = match &code.template {
            Some(name) => name.parse()?,
            None => self.template_of_run(),
        };
        let language = match &code.language {
            Some(name) => Language::named(name)?,
            None => Language::of_code(&code.code)?.unwrap_or_else(Language::default_for_code),
        };
        let mut program = Program::of_code(code.code.clone(), language, None);
        program.add_files(code.files.iter().map(file).collect())?;
        let asked = AskedLimits {
            memory_bytes: code
                .memory_mb
                .map(|megabytes| megabytes.saturating_mul(1 << 20)),
            cpu_millis: code.cpu.map(thousandths).transpose()?,
            ..AskedLimits::default()
        };
        Ok(Job {
            spec: SandboxSpec {
                template,
                isolation: Isolation::Namespace,
                limits: asked.over(settings.sandbox.limits())?,
                network: code.network.unwrap_or(NetworkMode::None),
                mounts: Vec::new(),
            },
            execution: Execution {
                program,
                arguments: code.args.clone(),
                variables: code.env.clone(),
                uploads: Vec::new(),
                downloads: Vec::new(),
                timeout: code.timeout.unwrap_or(settings.sandbox.timeout),
                output_limit: Some(settings.sandbox.output.bytes()),
                drain: settings.execute.drain,
                file_limit: settings.execute.file.bytes(),
                user: code.user.clone(),
                workdir: code.workdir.clone(),
                builds: None,
            },
            stdin: code.stdin.clone(),
            returns: code.return_files.clone(),
        })
    }

    /// The template of a run that names none: that of the settings if it is there.
    fn template_of_run(&self) -> TemplateName {
        let settings = self.node.settings();
        let store = TemplateStore::new(&settings.paths.data_dir);
        let usual = settings.execute.template.parse::<TemplateName>().ok();
        let usual = usual.filter(|name| store.contains(name));
        usual
            .or_else(|| TEMPLATE.parse().ok())
            .unwrap_or_else(TemplateName::host)
    }
}

impl Live {
    /// As it is now.
    fn now(&self) -> Listed {
        let state = match *self.sandbox.paused().borrow() {
            true => "paused",
            false => "running",
        };
        Listed {
            state: state.to_owned(),
            ..self.listed.clone()
        }
    }
}

fn listed(sandbox: &Sandbox, wish: &NewSandbox, left: Duration) -> Listed {
    let (now, limits) = (Moment::now(), &sandbox.spec().limits);
    Listed {
        sandbox_id: sandbox.id().clone(),
        template_id: sandbox.template().to_string(),
        state: String::new(),
        started_at: now.to_string(),
        end_at: now.plus(left).to_string(),
        cpu_count: limits.cpu_millis.div_ceil(1000),
        memory_mb: limits.memory.bytes() >> 20,
        metadata: wish.metadata.clone(),
        isolation: sandbox.isolation().as_str().to_owned(),
    }
}

fn file(file: &crate::execute::CodeFile) -> ProgramFile {
    ProgramFile {
        remote: match file.path.starts_with('/') {
            true => file.path.clone(),
            false => format!("{HOME}/{}", file.path),
        },
        content: Content::Bytes(file.content.clone()),
        executable: file.executable,
    }
}

fn thousandths(cpu: f64) -> Result<u32, EngineError> {
    let millis = cpu * 1000.0;
    // What is no number at all is in no range either.
    if !(0.0..=f64::from(u32::MAX)).contains(&millis) {
        let why = "it is a number of processors, such as 0.5";
        return Err(EngineError::Field { field: "cpu", why });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "its range was looked at"
    )]
    let millis = millis.round() as u32;
    Ok(millis)
}

/// Code and its sandbox.
struct Job {
    spec: SandboxSpec,
    execution: Execution,
    stdin: Bytes,
    returns: Vec<String>,
}

impl Job {
    /// Runs the code to its end; gives the last event.
    async fn run(
        &self,
        node: &Node,
        sandbox: &Sandbox,
        events: &mpsc::Sender<Result<RunEvent, ClientError>>,
    ) -> Result<RunEvent, EngineError> {
        let execution = &self.execution;
        let started = RunEvent::Started {
            sandbox: sandbox.id().to_string(),
            template: sandbox.template().to_string(),
            language: execution.program.language.name.to_owned(),
        };
        // The first of its stream: there is room.
        let _ = events.send(Ok(started)).await;
        let stdin = (!self.stdin.is_empty()).then(|| Cursor::new(self.stdin.clone()));
        let mut sink = Teller(events.clone());
        let gone = events.closed();
        let mut outcome = execute(sandbox, execution, stdin, &mut sink, gone).await?;
        let mut files = Vec::new();
        if !self.returns.is_empty() {
            let most = &node.settings().execute;
            let user = execution.user.as_deref();
            let (found, failed) = collect(sandbox.agent(), &self.returns, user, most).await;
            files = found;
            outcome.failed_downloads.extend(failed);
        }
        let usage = match sandbox.usage().await {
            Ok(usage) => usage,
            // Its first process was what Linux killed.
            Err(_) => sandbox.ended().await,
        };
        let report = Report::of(About::here(sandbox, node), execution);
        let document = report.document(&outcome, usage, None, &files);
        let run = serde_json::to_value(&document).map_err(EngineError::Told)?;
        let run: Run = serde_json::from_value(run).map_err(EngineError::Told)?;
        Ok(RunEvent::Exit(Box::new(run)))
    }
}

/// Tells of output.
struct Teller(mpsc::Sender<Result<RunEvent, ClientError>>);

impl Sink for Teller {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        let event = match channel {
            Channel::Stdout => RunEvent::Stdout(bytes),
            Channel::Stderr => RunEvent::Stderr(bytes),
        };
        let sent = self.0.send(Ok(event)).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
