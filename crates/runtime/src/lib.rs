//! Isolation: the driver trait and the native driver.

#[cfg(fuzzing)]
pub mod fuzz;
pub mod native;
pub mod programs;
pub mod zygote;

/// The way to what runs inside a sandbox.
pub use soulbox_agent_client as agent_client;
