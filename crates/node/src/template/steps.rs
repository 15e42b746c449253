//! Carrying out a plan: steps over a base, each a layer, until the last one is a template.
//!
//! ```text
//! Plan ─▶ stage ─▶ base (layers, user, directory, variables)
//!                    └▶ step ─▶ its key ─▶ the layer is there ─────────────▶ next step
//!                                       └▶ a sandbox over the layers ─▶ what it wrote ─┘
//! ```
//!
//! A layer is known by a hash of everything that goes into it: the layers below, the command, its
//! variables, user and directory, the files that are copied. So a step whose inputs are the same is
//! never done again, by whomever, and a build that was killed goes on where it was.
//!
//! | What | File |
//! |---|---|
//! | what a step begins with, and its key | [`state`] |
//! | a command in a sandbox, whose writable tree becomes the layer | [`run`] |
//! | files that are copied in | [`copy`] |
//! | the template that comes out | [`finish`] |

mod copy;
mod finish;
mod run;
pub(crate) mod state;

use crate::core::start::StartError;
use crate::node::{CreateError, Node};
use crate::template::script::Stop;
use crate::template::{TemplateError, TemplateStore};
pub(crate) use finish::TOP;
use soulbox_image::context::Context;
use soulbox_image::layer_store::{HeldLayer, LayerError, LayerId, MAX_LAYERS, NewLayer};
use soulbox_image::record::TemplateRecord;
use soulbox_image::settle::SettleError;
use soulbox_image::steps::{Base, Plan, RegistryAuth, Stage, Step, StepKind};
use soulbox_model::{Limits, TemplateName};
use soulbox_runtime::agent_client::AgentError;
use state::State;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// How often a step that waits for another process that does the same looks whether that is done.
const LOOK: Duration = Duration::from_millis(50);

/// Something that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEvent {
    /// The stage it happened in, from 0.
    pub stage: usize,
    /// The step of the stage, from 1; 0: its base; one more than there are: making the template.
    pub step: usize,
    /// How many steps the stage has.
    pub steps: usize,
    /// What happened.
    pub what: Happened,
}

/// What happened in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It began. What is done, as it was written.
    Began(String),
    /// Its layer was there already.
    Cached,
    /// Somebody else does the same just now, which is waited for.
    Waits,
    /// It printed a line.
    Line(String),
    /// How far the base is.
    Progress {
        /// 0 to 100.
        percent: u8,
        /// What is being done.
        text: String,
    },
    /// It is done.
    Done {
        /// How long it took.
        took: Duration,
        /// What its layer takes on disk, in bytes; none: it has none.
        size: Option<u64>,
    },
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its command could not be run, or did not end well.
    #[error("failed to run command '{command}': {how}")]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        how: String,
        /// Its exit code, if it has one.
        code: Option<i32>,
    },
    /// Files could not be copied.
    #[error("failed to copy {what}: {why}")]
    Copy {
        /// What was to be copied.
        what: String,
        /// Why not.
        why: String,
    },
    /// Its sandbox could not be made.
    #[error("cannot make the step's sandbox")]
    Create(#[from] CreateError),
    /// Its sandbox was lost.
    #[error("the step's sandbox does not answer")]
    Agent(#[from] AgentError),
    /// What it wrote is no layer.
    #[error("what the step wrote cannot become a layer")]
    Settle(#[from] SettleError),
    /// A layer could not be read or written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The base is a template that cannot be used.
    #[error(transparent)]
    Template(#[from] Box<TemplateError>),
    /// The base cannot be one.
    #[error("{what} cannot be a base: {why}")]
    Base {
        /// What was to be the base.
        what: String,
        /// Why not.
        why: String,
    },
    /// There would be more layers than a template may have.
    #[error("the template would lie on more than {MAX_LAYERS} layers: put commands together")]
    Layers,
    /// A file of the build could not be read or written.
    #[error("cannot {what}")]
    Files {
        /// What was being done.
        what: String,
        /// What Linux said.
        source: std::io::Error,
    },
    /// What the template is to run does not run.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The disk is nearly full.
    #[error("the disk with the templates is nearly full: make room and try again")]
    DiskFull,
    /// A secret or another thing that the step needs was not given.
    #[error("{0} was not given to the build")]
    NotGiven(String),
    /// The image could not be had.
    #[error("cannot get image {reference}")]
    Image {
        /// The image.
        reference: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The build was ended.
    #[error("the build was cancelled")]
    Stopped,
}

impl From<TemplateError> for StepError {
    fn from(error: TemplateError) -> Self {
        Self::Template(Box::new(error))
    }
}

/// A build that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct StepFailure {
    /// The stage, from 0.
    pub stage: usize,
    /// The step of it, from 1; 0: its base; one more than there are: making the template.
    pub step: usize,
    /// How many steps the stage has.
    pub steps: usize,
    /// Its line in the file, if it has one.
    pub line: Option<u32>,
    /// Why.
    #[source]
    pub source: StepError,
}

/// What an image gives a build: its layers, the lowest first, and what commands get by default.
#[derive(Debug)]
pub struct ImageGround {
    /// The layers.
    pub layers: Vec<Arc<HeldLayer>>,
    /// User, directory, variables, what runs at the start.
    pub record: TemplateRecord,
}

/// A future in a box.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a plan refers to and does not have in it.
pub trait Sources: Send + Sync {
    /// The directory that files are copied from, if there is one.
    fn context(&self) -> Option<Arc<Context>> {
        None
    }

    /// The file with what a client uploaded under a hash: a tar, or a gzipped one.
    fn upload(&self, _hash: &str) -> Option<PathBuf> {
        None
    }

    /// A secret of the build.
    fn secret(&self, _id: &str) -> Option<Vec<u8>> {
        None
    }

    /// Where commands may keep what a cache mount names from build to build.
    fn cache(&self, _id: &str) -> Option<PathBuf> {
        None
    }

    /// An image of a registry; `told` hears how far that is.
    fn image<'a>(
        &'a self,
        reference: &'a str,
        auth: Option<&'a RegistryAuth>,
        told: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>>;
}

/// Builds plans on one engine.
pub struct StepBuilder<'a> {
    /// Where templates and layers are.
    pub store: &'a TemplateStore,
    /// Who makes the sandboxes.
    pub node: &'a Node,
    /// What plans refer to.
    pub sources: &'a dyn Sources,
    /// What the sandbox of a step may use.
    pub limits: Limits,
    /// How long one step may take.
    pub timeout: Duration,
    /// Who hears what happens. A slow reader misses lines; the build does not wait for it.
    pub events: &'a Sender<StepEvent>,
}

/// Where a build is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    stage: usize,
    step: usize,
    steps: usize,
}

impl StepBuilder<'_> {
    /// Carries out `plan` and makes the template `name` of its target; an older one of that name
    /// is replaced at the end. When `stop` completes, the build is ended: the layers of steps that
    /// were done stay for the next one, nothing else does.
    ///
    /// # Errors
    /// [`StepFailure`]; the older template is as it was then.
    pub async fn build(
        &self,
        plan: &Plan,
        name: &TemplateName,
        stop: Stop<'_>,
    ) -> Result<TemplateRecord, StepFailure> {
        let at = std::sync::Mutex::new((
            At {
                stage: 0,
                step: 0,
                steps: 0,
            },
            None,
        ));
        let work = async {
            let mut done: HashMap<usize, State> = HashMap::new();
            for (number, stage) in plan.stages.iter().enumerate() {
                let state = self.stage((number, stage), &done, &at).await?;
                done.insert(number, state);
                if number == plan.target {
                    break;
                }
            }
            let target = done.remove(&plan.target).ok_or(StepError::Base {
                what: format!("stage {}", plan.target),
                why: "the plan has no such stage".into(),
            })?;
            let here = {
                let mut at = at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                at.0.step = at.0.steps + 1;
                at.1 = None;
                at.0
            };
            self.finish(here, target, name).await
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = stop => Err(StepError::Stopped),
        };
        ended.map_err(|source| {
            let (at, line) = *at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            StepFailure {
                stage: at.stage,
                step: at.step,
                steps: at.steps,
                line,
                source,
            }
        })
    }

    async fn stage(
        &self,
        (number, stage): (usize, &Stage),
        done: &HashMap<usize, State>,
        place: &std::sync::Mutex<(At, Option<u32>)>,
    ) -> Result<State, StepError> {
        let mut at = At {
            stage: number,
            step: 0,
            steps: stage.steps.len(),
        };
        let set = |at: At, line| {
            *place
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = (at, line);
        };
        set(at, None);
        let begun = Instant::now();
        self.tell(
            at,
            Happened::Began(format!("FROM {}", base_text(&stage.base))),
        );
        let mut state = self.base(at, &stage.base, done).await?;
        let took = begun.elapsed();
        self.tell(at, Happened::Done { took, size: None });
        for step in &stage.steps {
            at.step += 1;
            set(at, step.line);
            self.tell(at, Happened::Began(step.text.clone()));
            let begun = Instant::now();
            state.forced |= step.force;
            let size = self.step(at, step, &mut state, done).await?;
            let took = begun.elapsed();
            self.tell(at, Happened::Done { took, size });
        }
        Ok(state)
    }

    async fn base(
        &self,
        at: At,
        base: &Base,
        done: &HashMap<usize, State>,
    ) -> Result<State, StepError> {
        match base {
            Base::Scratch => Ok(State::empty()),
            Base::Stage(number) => done.get(number).cloned().ok_or_else(|| StepError::Base {
                what: format!("stage {number}"),
                why: "it is not before this one".into(),
            }),
            Base::Template(name) => {
                let (store, name) = (self.store.clone(), name.clone());
                blocking(move || State::of_template(&store, &name)).await
            }
            Base::Image { reference, auth } => {
                let told = |what| self.tell(at, what);
                let ground = self.sources.image(reference, auth.as_ref(), &told).await?;
                Ok(State::of_image(ground))
            }
        }
    }

    /// Does one step. Gives the size of its layer, if it has one.
    async fn step(
        &self,
        at: At,
        step: &Step,
        state: &mut State,
        done: &HashMap<usize, State>,
    ) -> Result<Option<u64>, StepError> {
        let kind = &step.kind;
        let layer = match kind {
            StepKind::Run(run) => {
                let bound = self.bound(run, done).await?;
                let inputs: Vec<u8> = bound.iter().flat_map(|source| *source.digest()).collect();
                let key = state.key_of(kind, &inputs);
                self.layer((at, step), state.forced, key, |new| {
                    Box::pin(self.run(at, (run, bound), state, new))
                })
                .await?
            }
            StepKind::Copy(copy) => self.copy((at, step), copy, state, done).await?,
            StepKind::AddUrl { url, .. } => {
                return Err(StepError::Copy {
                    what: url.clone(),
                    why: "nothing is fetched outside of sandboxes: RUN curl does it".into(),
                });
            }
            StepKind::Workdir(path) => {
                let path = state.absolute(path);
                state.set(kind);
                if state.is_directory(&path) {
                    return Ok(None);
                }
                let key = state.key_of(kind, &[]);
                let (below, user) = (state.trees(Path::new("/nonexistent")), state.user.clone());
                self.layer((at, step), state.forced, key, |new| {
                    Box::pin(blocking(move || {
                        copy::make_directory(&path, (&below, &user), &new)?;
                        Ok(new)
                    }))
                })
                .await?
            }
            StepKind::User { name, create, sudo } => {
                let script = create.then(|| state.making_of_user(name, *sudo)).flatten();
                let Some(script) = script else {
                    state.set(kind);
                    return Ok(None);
                };
                let key = state.key_of(kind, &[]);
                let words = ["/bin/sh", "-c", &script].map(str::to_owned);
                let layer = self
                    .layer((at, step), state.forced, key, |new| {
                        Box::pin(self.do_as((at, state), (words.to_vec(), "root"), new))
                    })
                    .await?;
                state.set(kind);
                layer
            }
            kind => {
                state.set(kind);
                return Ok(None);
            }
        };
        let size = layer.facts.size.bytes();
        state.put(Arc::new(layer))?;
        Ok(Some(size))
    }

    /// The layer of a step's key: the one that is there, or else what `make` makes.
    async fn layer<'s>(
        &self,
        (at, step): (At, &Step),
        forced: bool,
        key: [u8; 32],
        make: impl FnOnce(NewLayer) -> Boxed<'s, Result<NewLayer, StepError>>,
    ) -> Result<HeldLayer, StepError> {
        let store = self.store.layers();
        let mut waits = false;
        let turn = loop {
            if !forced && let Some(held) = store.hold_step(&key)? {
                self.tell(at, Happened::Cached);
                return Ok(held);
            }
            if let Some(turn) = store.try_turn(&key)? {
                break turn;
            }
            if !waits {
                waits = true;
                self.tell(at, Happened::Waits);
            }
            tokio::time::sleep(LOOK).await;
        };
        // Who had the turn before may have made it since the last look.
        if !forced && let Some(held) = store.hold_step(&key)? {
            self.tell(at, Happened::Cached);
            return Ok(held);
        }
        let new = {
            let store = store.clone();
            blocking(move || Ok(store.begin()?)).await?
        };
        let new = make(new).await?;
        let made_by = step.text.clone();
        blocking(move || {
            let plain = LayerId::of_step(&key);
            let there = forced && store.hold(&plain)?.is_some();
            // One that is done again gets a name of its own: others lie on the older one.
            let id = match there {
                true => LayerId::of_step(&state::fresh(&key)),
                false => plain,
            };
            let held = new.publish(&id, &made_by)?;
            if there {
                store.note_step(&key, &id)?;
            }
            drop(turn);
            Ok(held)
        })
        .await
    }

    pub(crate) fn tell(&self, at: At, what: Happened) {
        let At { stage, step, steps } = at;
        let event = StepEvent {
            stage,
            step,
            steps,
            what,
        };
        self.events.try_send(event).ok();
    }
}

fn base_text(base: &Base) -> String {
    match base {
        Base::Scratch => "scratch".to_owned(),
        Base::Image { reference, .. } => reference.clone(),
        Base::Template(name) => format!("template {name}"),
        Base::Stage(number) => format!("stage {number}"),
    }
}

/// Does file work where it holds nothing else up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(TemplateError::Ending.into()))
}
