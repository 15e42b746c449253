//! One machine: it makes sandboxes, keeps pools, template trees and leases, and reclaims what
//! engines that were killed left.
//!
//! | Story | File |
//! |---|---|
//! | the engine | [`node`], `core` |
//! | a live sandbox | [`sandbox`] |
//! | running a piece of code in it | [`execute`] |
//! | walls and names for sandboxes with internet | `internet`, [`resolver`] |
//! | who holds which slot of the machine | [`lease`] |
//! | what sandboxes use together, and who may still come | [`ceiling`] |
//! | a sandbox's limits as the driver takes them | `limits` |
//! | what a sandbox uses now | `metrics` |
//! | what Linux killed for want of memory | `memory_kill` |
//! | who takes all processors while others want some | `hogs` |
//! | who owns whose user namespaces | [`owner`] |
//! | interpreters that are copied into sandboxes | `zygotes` |
//! | what is ready ahead of time | `pools`, [`pool`], `calm` |
//! | the engine's directories | [`workplace`] |
//! | where sandboxes' writes go, and their limits | [`storage`] |
//! | the operator's certificates in sandboxes | [`trust`] |
//! | names for sandboxes | [`resolver`] |
//! | the spawner, and another one when it was lost | `keeper` |
//! | what dead engines left | `dead`, `reclaim` |
//! | what ended while nobody was there | [`past`] |
//! | taking over what an engine left that is gone | `orphan`, `core::adopt` |
//! | what is written down of a sandbox for that | `note` |
//! | when the spawner acts by itself, and how sandboxes end | `deadline`, `ending` |
//! | templates on disk, and building them | [`template`] |
//! | trees and mounts that go into a sandbox | [`tree_source`], [`mount_source`] |

pub mod builds;
mod calm;
pub mod ceiling;
mod core;
mod dead;
mod deadline;
mod ending;
pub mod execute;
#[cfg(fuzzing)]
pub mod fuzz;
mod hogs;
mod internet;
mod keeper;
pub mod lease;
mod limits;
mod memory_kill;
mod metrics;
pub mod mount_source;
pub mod node;
mod note;
mod orphan;
pub mod owner;
pub mod past;
pub mod pool;
mod pools;
mod reclaim;
pub mod resolver;
pub mod sandbox;
pub mod storage;
pub mod template;
pub mod tree_source;
pub mod trust;
pub mod workplace;
mod zygotes;

pub use ceiling::AdmissionError;
pub use deadline::{Deadline, Then};
pub use ending::{End, EndedMeanwhile, HowEnded};
pub use internet::InternetError;
pub use memory_kill::MemoryKill;
pub use metrics::Metrics;
pub use node::{Birth, CreateError, Node, NodeError};
pub use note::TooLong;
pub use pools::{KindKey, KindLevel, PoolLevel};
pub use sandbox::{NoteError, Sandbox, Usage};
pub use soulbox_runtime::native::driver::PauseError;
pub use zygotes::{Loaded, Script, Supplier};
