//! The network of sandboxes, against servers of our own in network namespaces.
//!
//! Each refusal has its control: the same attempt succeeds where the wall is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]
#![allow(
    clippy::print_stderr,
    reason = "helpers of tests may end the test, and tell why"
)]

#[path = "network/lease.rs"]
mod lease;
#[path = "network/namespaces.rs"]
mod namespaces;
#[path = "network/walls.rs"]
mod walls;
#[path = "network/world.rs"]
mod world;
