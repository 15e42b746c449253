//! Isolation: the driver trait and the native driver.

pub mod native;
pub mod programs;
