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
//! | what lasts | [`records`] |
//! | keys of the programming interface | [`keys`] |
//! | tokens of sandboxes | [`token`] |
//! | which template a client means | `template` |
//! | what a sandbox has used, its processes | [`inside`] |
//! | failures | [`error`] |

pub mod admission;
pub mod command;
pub mod control;
mod create;
pub mod error;
pub mod inside;
pub mod keys;
mod life;
pub mod list;
pub mod live;
mod placement;
pub mod records;
mod recover;
mod template;
pub mod token;

pub use command::{CreateRequest, SandboxCommand, SandboxReply, SandboxView};
pub use control::Control;
pub use error::ControlError;
pub use inside::Used;
pub use live::Live;
pub use template::Building;
