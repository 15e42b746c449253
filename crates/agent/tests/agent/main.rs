//! The real agent, started outside any sandbox, and what it answers.

mod client;
mod http;
mod support;
