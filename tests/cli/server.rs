//! The verbs that talk to a running server.

mod copy;
mod encrypted;
mod exec;
mod forward;
mod keys;
mod life;
mod nobody;
mod run;
mod told;
