//! A client of a SoulBox server, and the same over an engine in one's own process.
//!
//! ```no_run
//! # async fn example() -> Result<(), soulbox_client::ClientError> {
//! use soulbox_client::{NewSandbox, SoulBox, shell};
//!
//! let soulbox = SoulBox::connect("http://127.0.0.1:3000", "e2b_0123")?;
//! let sandbox = soulbox.create(&NewSandbox::of("base")).await?;
//! sandbox.write("/home/user/in.txt", "some text").await?;
//! let done = sandbox.run(&shell("wc -w < in.txt")).await?;
//! assert_eq!((done.exit_code, done.stdout), (0, b"2\n".to_vec()));
//! sandbox.kill().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With feature `embedded`, [`SoulBox`] has a second constructor, and everything else is the same:
//!
#![cfg_attr(feature = "embedded", doc = "```no_run")]
#![cfg_attr(not(feature = "embedded"), doc = "```ignore")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use soulbox_client::{Execute, SoulBox};
//! use soulbox_settings::Settings;
//!
//! let settings = Settings::with(&[("data_dir", "/var/lib/example")])?;
//! let soulbox = SoulBox::embedded(settings.into()).await?;
//! let run = soulbox.execute(&Execute::new("bash", "echo hello")).await?;
//! assert!(run.is_success());
//! soulbox.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | What | File |
//! |---|---|
//! | where sandboxes are made | [`client`] |
//! | an engine in this process | `engine` |
//! | a live sandbox; a command in it | [`sandbox`], [`command`] |
//! | contexts of kernels; code in one | [`context`], [`cell`] |
//! | code in a sandbox of its own: asked for, going on, over | [`execute`], [`running`], [`run`] |
//!
//! Below that, for other routes of a server:
//!
//! | What | File |
//! |---|---|
//! | a server and what can be asked of it | [`server`] |
//! | why it gave no good answer | [`error`] |
//! | where it is | [`url`] |
//! | the way there: TCP, TLS; who may vouch for it | [`line`], [`roots`] |
//! | one request, one answer | [`exchange`] |
//! | a stream of events | [`follow`] |
//! | sandboxes in its words; one that is asked for | [`sandboxes`], [`create`] |
//! | the way to the agent of a sandbox | [`way`] |

pub mod cell;
pub mod client;
pub mod command;
pub mod context;
pub mod create;
#[cfg(feature = "embedded")]
pub mod engine;
pub mod error;
pub mod exchange;
pub mod execute;
pub mod follow;
pub mod line;
pub mod roots;
pub mod run;
pub mod running;
pub mod sandbox;
pub mod sandboxes;
pub mod server;
pub mod url;
pub mod way;

pub use cell::{Cell, CellEvent, CellFailure, CellResult, Told};
pub use client::{ClientError, SoulBox};
pub use command::{Command, shell};
pub use context::{Code, Context, KernelError};
pub use create::NewSandbox;
#[cfg(feature = "embedded")]
pub use engine::EngineError;
pub use error::RemoteError;
pub use execute::{CodeFile, Execute};
pub use roots::Trust;
pub use run::{Run, RunFile};
pub use running::{RunEvent, Running};
pub use sandbox::{Finished, Sandbox};
pub use sandboxes::Listed;
pub use server::Server;
pub use soulbox_agent_client::{AgentError, ProcessEvent, StartRequest};
pub use soulbox_model::{AskedLimits, Cause, NetworkMode, SandboxId};
