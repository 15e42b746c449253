//! The engine's client against the agent that this crate embeds, started outside any sandbox.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking"
)]

mod client;
mod commands;
mod dial;
mod support;
