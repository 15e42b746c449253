//! Kernels: programs that keep the state of a user's code between its cells, on the virtual port
//! 49999.
//!
//! ```text
//!  request ─▶ http ─▶ table ─▶ context ── machine (what is to be done)
//!                                 │
//!                              supply ─▶ link ══ control socket ══ kernel's process
//! ```
//!
//! Nothing of it is there before the port is used for the first time.
//!
//! | What | File |
//! |---|---|
//! | which kernels there are | `spec` |
//! | frames of the control socket | `frame` |
//! | what is said to a kernel, what it says | `ask`, `said` |
//! | a kernel's process, and where it comes from | `process`, `supply` |
//! | the conversation with one process | `link` |
//! | the life of a context, as a table of events | `machine` |
//! | a context: its runs and its process | `context`, `conversation` |
//! | one run and its output | `run`, `line` |
//! | all contexts of the sandbox | `table` |
//! | the routes | `http` |

pub(crate) mod ask;
pub(crate) mod context;
mod conversation;
pub(crate) mod frame;
pub(crate) mod http;
mod jupyter;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod said;
pub(crate) mod spec;
pub(crate) mod supply;
pub(crate) mod table;
