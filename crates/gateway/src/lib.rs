//! The public door: one listener for every wire surface and for the traffic to sandboxes. Knows
//! wire formats and nothing of Linux.
//!
//! ```text
//!  connection ─▶ server ─▶ door ─┬─ names a sandbox ─▶ traffic ─▶ its agent, or a port in it
//!                                └─ names none ──────▶ e2b, native ─▶ control
//! ```
//!
//! | What | File |
//! |---|---|
//! | accepting, time limits of connections, stopping | [`server`] |
//! | heads that are refused, whatever they ask for | `head` |
//! | which way a request goes | `door` |
//! | who sends a request, and whose key it is | `client`, `auth` |
//! | bodies: bounded, with the name of a wrong field | `body` |
//! | bodies that nobody reads to their end | `drained` |
//! | failures on the wire | [`error`] |
//! | requests to a sandbox | `traffic` |
//! | E2B's control plane | `e2b` |
//! | our own | `native` |

mod auth;
mod body;
mod client;
mod door;
mod drained;
mod e2b;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod head;
mod native;
pub mod server;
mod traffic;

pub use server::{Server, ServerError};
