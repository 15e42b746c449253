//! The life of a sandbox. Every surface, the command line and the tests end in one enum,
//! [`SandboxCommand`]; nothing here knows a wire format.
//!
//! | What | File |
//! |---|---|
//! | what can be asked, and what is answered | [`command`] |
//! | who keeps what lives | [`control`] |
//! | one live sandbox: its record, its time, its end | [`live`] |
//! | its time, pauses and end | `life` |
//! | making one, once | `create`, [`admission`] |
//! | after a restart: taking over what lives | `recover` |
//! | where one goes | `placement` |
//! | listing | [`list`] |
//! | what is used | [`samples`], [`look`] |
//! | what is counted | [`metrics`] |
//! | what happens, for those who follow | [`hub`], `memory_watch` |
//! | what lasts | [`records`] |
//! | keys of the programming interface | [`keys`] |
//! | tokens of sandboxes | [`token`] |
//! | which template a client means | `template` |
//! | failures | [`error`] |

pub mod admission;
pub mod command;
pub mod control;
mod create;
pub mod error;
pub mod hub;
pub mod keys;
mod life;
pub mod list;
pub mod live;
pub mod look;
mod memory_watch;
pub mod metrics;
mod placement;
pub mod records;
mod recover;
pub mod samples;
mod template;
pub mod token;

pub use command::{CreateRequest, SandboxCommand, SandboxReply, SandboxView};
pub use control::Control;
pub use error::ControlError;
pub use hub::Happened;
pub use live::Live;
pub use samples::Sample;
pub use template::Building;
