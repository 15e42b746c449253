//! The life of a sandbox. Every surface, the command line and the tests end in one enum,
//! [`SandboxCommand`]; nothing here knows a wire format.
//!
//! | What | File |
//! |---|---|
//! | what can be asked, and what is answered | [`command`] |
//! | who keeps what lives | [`control`] |
//! | one live sandbox: its record, its time, its end | [`live`] |
//! | its time, pauses and end | `life` |
//! | making one, once | `create`, [`admission`], [`idempotency`] |
//! | after a restart: taking over what lives | `recover` |
//! | where one goes | `placement` |
//! | commands in it | [`commands`] |
//! | listing | [`list`] |
//! | what a sandbox's log has of its commands | [`log`] |
//! | what is used | [`samples`], [`look`] |
//! | what was asked for, and what it foretells | `arrivals` |
//! | what is counted | [`metrics`] |
//! | what happens, for those who follow | [`hub`], `memory_watch` |
//! | what lasts | [`records`] |
//! | keys of the programming interface | [`keys`] |
//! | tokens of sandboxes | [`token`] |
//! | which template a client means | [`template`] |
//! | templates that clients build | [`templates`] |
//! | what a sandbox has used, its processes | [`inside`] |
//! | code in a sandbox of its own | [`run`] |
//! | failures | [`error`] |

pub mod admission;
mod arrivals;
pub mod command;
pub mod commands;
pub mod control;
mod create;
pub mod error;
pub mod hub;
pub mod idempotency;
pub mod inside;
pub mod keys;
mod life;
pub mod list;
pub mod live;
pub mod log;
pub mod look;
mod memory_watch;
pub mod metrics;
mod placement;
pub mod records;
mod recover;
pub mod run;
pub mod samples;
pub mod template;
pub mod templates;
pub mod token;

pub use command::{CreateRequest, LogEntry, SandboxCommand, SandboxReply, SandboxView};
pub use commands::{CommandInput, Follower, NewCommand, OutputPiece};
pub use control::Control;
pub use error::ControlError;
pub use hub::Happened;
pub use idempotency::Once;
pub use inside::Used;
pub use live::Live;
pub use log::{CommandLog, LogEnd, LogLine};
pub use run::{Leader, Listener, Ran, RunClaim, RunRequest, RunTicket, Started};
pub use samples::Sample;
pub use template::Building;
