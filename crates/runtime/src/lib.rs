//! Isolation: the driver trait and the native driver.

pub mod agent_client;
pub mod native;
pub mod programs;
