//! The nouns of SoulBox: ids, specifications, states and causes. One file each, no I/O.
//!
//! | Noun | File |
//! |---|---|
//! | sandbox id | [`id`] |
//! | what a sandbox is asked to be | [`spec`] |
//! | the language of a piece of code | [`language`] |
//! | limits and sizes | [`limits`], [`size`] |
//! | why something ended | [`cause`] |
//! | the steps of a create, timed | [`phase`] |
//! | the name that was probably meant | [`mod@nearest`] |

pub mod cause;
pub mod id;
pub mod language;
pub mod limits;
pub mod nearest;
pub mod phase;
pub mod size;
pub mod spec;

pub use cause::Cause;
pub use id::{IdError, SandboxId, TemplateName};
pub use language::{Language, LanguageError};
pub use limits::{LimitError, Limits};
pub use nearest::nearest;
pub use phase::Phases;
pub use size::{ByteSize, SizeError};
pub use spec::{Isolation, Mount, MountError, NetworkMode, SandboxSpec};
