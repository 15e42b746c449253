//! The real agent, started outside any sandbox, and what it answers.

mod http;
mod support;
