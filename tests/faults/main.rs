//! The server under what goes wrong: kills at random moments, full disks, clients that are slow, gone, too many
//! or that want to be misunderstood. What must hold every time: nothing that was acknowledged is lost, nothing is
//! left over, `list` tells the truth, and whoever else uses the server notices nothing.
//!
//! | What | File |
//! |---|---|
//! | what a server has: sandboxes, processes, memory, descriptors | [`ground`] |
//! | what is left of a server when it must not be | [`left`] |
//! | `kill -9` of the server, a spawner, an agent | [`kill`] |
//! | a full disk; a second server | [`disk`] |
//! | slow and vanishing clients, and too many connections | [`client`] |
//! | requests of two meanings | [`wire`] |
//! | bursts, and many sandboxes one after another | [`burst`] |

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, reads how long it may take, and tells figures"
)]

mod burst;
mod client;
mod disk;
mod ground;
mod kill;
mod left;
mod wire;
