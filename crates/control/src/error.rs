//! Why a command was refused or failed. Each door maps these to its wire's shape, once.

use crate::templates::record::BuildStatus;
use soulbox_model::{BuildId, CommandId, CommandState, SandboxId, SandboxState, StateError};
use soulbox_node::execute::ExecuteError;
use soulbox_node::template::TemplateError;
use soulbox_node::{CreateError, PauseError};
use soulbox_runtime::agent_client::AgentError;
use soulbox_runtime::native::driver::DriverError;
use soulbox_store::StoreError;
use std::error::Error;
use std::time::Duration;

/// A command that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No such sandbox, for this team.
    #[error("sandbox {0:?} was not found")]
    NoSandbox(String),
    /// No such template.
    #[error("template {0:?} was not found{cure}", cure = cure(.0))]
    NoTemplate(String),
    /// A template of another team, which is not public.
    #[error("template {0:?} belongs to another team")]
    ForeignTemplate(String),
    /// A name that the server's own templates have.
    #[error("name: {0:?} is what a template of the server is called; choose another one")]
    NameTaken(String),
    /// No such build of the template.
    #[error("build {0:?} was not found")]
    NoBuild(String),
    /// The build is over, or not yet so far.
    #[error("build {build} is {}", .status.as_str())]
    BuildState {
        /// The build.
        build: BuildId,
        /// Where it stands.
        status: BuildStatus,
    },
    /// The templates of this node cannot be read.
    #[error("cannot read the templates")]
    Templates(#[source] TemplateError),
    /// The template is being built.
    #[error("template {0:?} is being built; try again in a moment")]
    TemplateNotReady(String),
    /// A value that cannot be taken.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field that holds it.
        field: &'static str,
        /// Why not.
        reason: String,
    },
    /// The sandbox's state does not allow it.
    #[error("sandbox {id} is {}", .state.as_str())]
    State {
        /// The sandbox.
        id: SandboxId,
        /// Where it stands.
        state: SandboxState,
    },
    /// The sandbox ended while it was being worked on.
    #[error("sandbox {0} has ended")]
    Ended(SandboxId),
    /// Too many wait already, or it waited too long.
    #[error("too many sandboxes are asked for at once: {reason}; try again in {retry:?}")]
    Busy {
        /// What is too many.
        reason: String,
        /// When to try again.
        retry: Duration,
    },
    /// What was asked for is not built.
    #[error("{0}")]
    NotBuilt(&'static str),
    /// The same idempotency key came with another request.
    #[error("idempotency key {0:?} was used with another request")]
    KeyReused(String),
    /// Another server took the same idempotency key meanwhile, or it guards something else.
    #[error("the idempotency key is in use; try again")]
    KeyTaken,
    /// A run with the same idempotency key was begun, and its answer is not kept.
    #[error(
        "a run with this idempotency key was begun before, and its answer is not known: the server was ended \
         meanwhile, or the answer is longer than what is kept (setting execute.answer)"
    )]
    RunBegun,
    /// No such command in the sandbox.
    #[error("command {0:?} was not found")]
    NoCommand(String),
    /// The command is over, or not yet so far.
    #[error("command {id} is {}", .state.as_str())]
    CommandState {
        /// The command.
        id: CommandId,
        /// Where it stands.
        state: CommandState,
    },
    /// The agent would not do it, in the sandbox's own words.
    #[error("{reason}")]
    Refused {
        /// Why not.
        reason: String,
    },
    /// Output cannot be kept or read.
    #[error("{reason}")]
    Output {
        /// Why not.
        reason: String,
    },
    /// The engine could not make a sandbox.
    #[error("cannot make the sandbox")]
    Create(#[source] CreateError),
    /// The engine could not change a sandbox.
    #[error("cannot change sandbox {id}")]
    Driver {
        /// The sandbox.
        id: SandboxId,
        /// Why.
        #[source]
        source: DriverError,
    },
    /// The engine could not pause or resume a sandbox.
    #[error("cannot pause or resume sandbox {id}")]
    Pause {
        /// The sandbox.
        id: SandboxId,
        /// Why.
        #[source]
        source: PauseError,
    },
    /// The agent did not do what it was asked.
    #[error("the agent of sandbox {id} failed")]
    Agent {
        /// The sandbox.
        id: SandboxId,
        /// Why.
        #[source]
        source: AgentError,
    },
    /// The template lacks programs that a run needs.
    #[error("{what}; choose a template with {packages}")]
    ProgramMissing {
        /// What is missing, for what.
        what: String,
        /// The packages that have it.
        packages: String,
    },
    /// Code could not be run.
    #[error("cannot run the code")]
    Run(#[source] Box<ExecuteError>),
    /// The record cannot be kept.
    #[error("cannot keep the record")]
    Store(#[from] StoreError),
    /// The server is being stopped.
    #[error("the server is being stopped")]
    Stopping,
}

/// What makes a template that is not there, if it comes with the program.
fn cure(name: &str) -> String {
    match soulbox_node::template::can_be_built(name) {
        true => format!("; `soulbox template build {name}` on the server makes it"),
        false => String::new(),
    }
}

impl ControlError {
    /// One word for it, for those who count.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoSandbox(_) => "no_sandbox",
            Self::NoTemplate(_) => "no_template",
            Self::ForeignTemplate(_) => "foreign_template",
            Self::NameTaken(_) => "name_taken",
            Self::NoBuild(_) => "no_build",
            Self::BuildState { .. } => "build_state",
            Self::Templates(_) => "templates",
            Self::TemplateNotReady(_) => "template_not_ready",
            Self::Invalid { .. } => "invalid",
            Self::State { .. } => "state",
            Self::Ended(_) => "ended",
            Self::Busy { .. } => "busy",
            Self::NotBuilt(_) => "not_built",
            Self::KeyReused(_) => "key_reused",
            Self::KeyTaken => "key_taken",
            Self::RunBegun => "run_begun",
            Self::NoCommand(_) => "no_command",
            Self::CommandState { .. } => "command_state",
            Self::Refused { .. } => "refused",
            Self::Output { .. } => "output",
            Self::Create(_) => "engine",
            Self::Driver { .. } => "driver",
            Self::Pause { .. } => "pause",
            Self::Agent { .. } => "agent",
            Self::ProgramMissing { .. } => "program_missing",
            Self::Run(_) => "run",
            Self::Store(_) => "store",
            Self::Stopping => "stopping",
        }
    }

    /// A template that is not there, by the name that was given.
    pub fn no_template(text: &str) -> Self {
        Self::NoTemplate(text.chars().take(150).collect())
    }

    /// A value that cannot be taken.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }
}

impl From<StateError> for ControlError {
    fn from(error: StateError) -> Self {
        Self::State {
            id: error.id,
            state: error.state,
        }
    }
}

/// An error and what is behind it, in one line.
pub(crate) fn in_one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// The longest text of a sandbox that is passed on, in characters.
const LONGEST_WORDS: usize = 300;

/// What a sandbox said, without what could make it look like something else.
pub(crate) fn in_plain_words(said: &str) -> String {
    let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_WORDS).collect()
}
