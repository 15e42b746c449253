//! Requests to what listens inside sandboxes, through the real server: by header, by host, over TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod encrypted;
mod ending;
mod http;
mod kernels;
mod port;
mod refusal;
mod server;
mod socket;
