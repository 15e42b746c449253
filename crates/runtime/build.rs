//! What is made before the crate is compiled: the policy tables and the static programs.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script starts cargo and reads its variables"
)]
#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on standard output"
)]

#[path = "build/policy.rs"]
mod policy;
#[path = "build/programs.rs"]
mod programs;

fn main() -> Result<(), String> {
    policy::build()?;
    programs::build()
}
