//! The verbs that talk to a running server.

mod exec;
mod keys;
mod life;
mod nobody;
