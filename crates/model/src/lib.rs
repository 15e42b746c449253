//! The nouns of SoulBox: ids, specifications, states and causes. One file each, no I/O.
//!
//! | Noun | File |
//! |---|---|
//! | sandbox id | [`id`] |
//! | what a sandbox is asked to be | [`spec`] |
//! | the language of a piece of code | [`language`] |
//! | limits and sizes; limits that are asked for | [`limits`], [`size`]; [`asked`] |
//! | a sandbox as its users see it | [`sandbox`] |
//! | what happened to it | [`event`] |
//! | a command in it | [`command`] |
//! | why a command ended | [`cause`] |
//! | keys of the programming interface | [`key`] |
//! | moments | [`time`] |
//! | the steps of a create, timed | [`phase`] |
//! | templates of a server, their builds and names | [`template`] |
//! | the name that was probably meant | [`mod@nearest`] |

pub mod asked;
pub mod cause;
pub mod command;
pub mod event;
pub mod id;
pub mod key;
pub mod language;
pub mod limits;
pub mod nearest;
pub mod phase;
pub mod sandbox;
pub mod size;
pub mod spec;
pub mod template;
pub mod time;

pub use asked::AskedLimits;
pub use cause::Cause;
pub use command::{CommandEnd, CommandId, CommandRecord, CommandState, OutputSize, TerminalSize};
pub use event::{EndCause, Event, EventKind};
pub use id::{IdError, SandboxId, TeamId, TemplateName};
pub use key::{ApiKey, KeyHash};
pub use language::{Language, LanguageError};
pub use limits::{LimitError, Limits};
pub use nearest::nearest;
pub use phase::Phases;
pub use sandbox::{Lifecycle, OnTimeout, SandboxEnd, SandboxRecord, SandboxState, StateError};
pub use size::{ByteSize, SizeError};
pub use spec::{Isolation, Mount, MountError, NetworkMode, SandboxSpec};
pub use template::{BuildId, TemplateId, TemplateReference, template_tag};
pub use time::Moment;
