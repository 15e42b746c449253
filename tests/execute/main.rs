//! Code in a sandbox of its own, through the real server: `POST /v1/execute`, its events, its WebSocket, batches.
//!
//! | What | File |
//! |---|---|
//! | a server and requests with code | [`server`] |
//! | what comes back of code | [`outcome`] |
//! | each language | [`language`] |
//! | nothing of one run in the next | [`apart`] |
//! | requests that are wrong | [`bad_input`] |
//! | events and a WebSocket | [`live`] |
//! | who goes away, and a server that is killed | [`gone`] |
//! | limits from what runs before used | [`adaptive`] |
//!
//! One server for all of them but the last; about 20 s on two cores.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed, and starts programs"
)]

mod adaptive;
mod apart;
mod bad_input;
mod gone;
mod language;
mod live;
mod outcome;
mod server;
