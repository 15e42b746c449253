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
//! | each request's id, line in the log and count | `access`, `metrics` |
//! | bodies: bounded, with the name of a wrong field | `body` |
//! | bodies that nobody reads to their end | `drained` |
//! | failures on the wire | [`error`] |
//! | requests to a sandbox | `traffic` |
//! | E2B's control plane | `e2b` |
//! | what is ours alone | `native` |
//! | the page in a browser | `page` |
//! | what can be asked, as a document | `openapi` |
//! | queries: an error names the field | `query` |

mod access;
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
mod metrics;
mod native;
mod openapi;
mod page;
mod query;
pub mod server;
mod traffic;

pub use server::{Server, ServerError};
