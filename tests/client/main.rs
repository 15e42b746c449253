//! The Rust client: what it does is the same on a real server and over an engine in one's own process.
//!
//! | What | File |
//! |---|---|
//! | where sandboxes are made | [`place`] |
//! | a sandbox: commands, files, contexts, its end | [`sandbox`] |
//! | code in a sandbox of its own | [`code`] |
//!
//! About 10 s on two cores.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod code;
mod place;
mod sandbox;
