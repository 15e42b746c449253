//! Every default, limit, time-out, port and path of the product, each declared once.
//!
//! A declaration in [`section`] yields the typed field, the key in `soulbox.toml`, the variable
//! `SOULBOX_<SECTION>_<NAME>`, the default, the accepted range and the row in `docs/settings.md`.
//! Which value wins: flags > variables > `soulbox.toml` > defaults.
//!
//! Nothing here reads the environment or a file by itself: a [`Source`] is handed in, so every
//! wrong value is a unit test.
//!
//! | What | File |
//! |---|---|
//! | the settings themselves | [`section`] |
//! | where text comes from | [`source`], [`file`] |
//! | which text wins, and what it must look like | [`reader`], [`value`] |
//! | the proxies of the environment | [`proxies`] |
//! | loading all of it | [`load`] |
//! | `docs/settings.md` | [`document`] |

pub mod backend;
pub mod cpu;
pub mod document;
pub mod duration;
pub mod file;
pub mod load;
pub mod proxies;
pub mod reader;
pub mod section;
pub mod source;
pub mod subnet;
pub mod value;

pub use backend::Backend;
pub use cpu::Cpu;
pub use load::{Flag, SettingError, Settings};
pub use proxies::Proxies;
pub use reader::{Entry, Origin};
pub use section::{
    Agent, Commands, Execute, Log, Network, Paths, Pool, Registry, Sandbox, Spawner, Storage, Store,
};
pub use source::{Fixed, Host, Source};
pub use subnet::Subnet;
