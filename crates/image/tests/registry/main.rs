//! Pulling from a registry that behaves, and from ones that do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod fake;
mod faults;
mod ground;
mod pull;
mod real;
mod way;
