//! The real agent, started outside any sandbox, and what it answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking and say what they skip"
)]

mod boot;
mod files;
mod filesystem;
mod hostile;
mod http;
mod input;
mod kernels;
mod life;
mod process;
mod protocol;
mod run;
mod support;
mod system;
mod terminal;
mod watch;
