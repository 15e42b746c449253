//! Attacks: hostile programs in real sandboxes, each with the refusal that it must meet and a
//! control that shows that the test would see a success. One file for each family.
//!
//! | What | File |
//! |---|---|
//! | an attempt as a row of data | [`attempt`] |
//! | what runs the programs inside and, for controls, on the host | `inside/driver.py` |
//! | an engine, the attacker, a neighbour, the host's belongings | [`ground`] |
//! | a family from its rows to its report | [`siege`] |
//! | a run of the real program | [`run`] |
//! | the same families by an ordinary user's engine | [`rootless`] |
//! | whether the host answers meanwhile | [`heartbeat`] |
//! | what was found, for `cargo xtask attacks` | [`report`] |

#![cfg(target_arch = "x86_64")] // the attempts make raw system calls by their numbers
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by a panic"
)]

mod attempt;
mod ground;
mod heartbeat;
mod report;
mod run;
mod siege;
#[path = "../../crates/node/tests/support/mod.rs"]
mod support;
#[allow(
    dead_code,
    reason = "what the tests of `runtime` need beside this one's"
)]
#[path = "../../crates/runtime/tests/network/world.rs"]
mod world;

mod agent;
mod bomb;
mod entry;
mod escape;
mod file_route;
mod hang;
mod host;
mod linux;
mod mount;
mod namespace;
mod neighbour;
mod network;
mod privilege;
mod proc;
mod recipe;
mod rootless;
mod scarce;
mod socket;
