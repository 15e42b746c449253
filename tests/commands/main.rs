//! Commands through the server's own interface, and requests that are repeated.
//!
//! | What | File |
//! |---|---|
//! | a server that can be killed and started again | [`server`] |
//! | plain requests | [`http`] |
//! | a proxy that cuts connections | [`proxy`] |
//! | one command from its start to its end | [`life`] |
//! | its output, from any offset | [`output`] |
//! | requests that are repeated, whatever was cut | [`once`] |
//! | after a crash, after a sandbox's end | [`aftermath`] |
//! | requests that are wrong | [`bad_input`] |
//!
//! About 40 s on two cores, most of it for the cuts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed, and starts programs"
)]

mod aftermath;
mod bad_input;
mod http;
mod life;
mod once;
mod output;
mod proxy;
mod server;
