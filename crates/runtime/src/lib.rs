//! Isolation: the driver trait and the native driver.

pub mod agent_client;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod native;
pub mod programs;
pub mod zygote;
