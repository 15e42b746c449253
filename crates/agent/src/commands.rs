//! Recorded commands: their output goes into a file of the host's, and their ends are kept until
//! the host has noted them. So neither a client nor a server that goes away loses anything, and
//! an id is started once.
//!
//! ```text
//! host ──▶ channel ─▶ start ─▶ process (spawn, table, pump) ─▶ log: the host's file
//!      ◀── outbox ◀── kept ◀───────────────── end ──┘
//! ```

pub(crate) mod channel;
pub(crate) mod kept;
pub(crate) mod log;
pub(crate) mod outbox;
pub(crate) mod start;
