//! The tasks around the code, one file for each: `cargo xtask <task>`.

mod benchmarks;
mod check;
mod docs;
mod layers;
mod process;
mod tally;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  check          format, lints, layers, documents and all tests: what CI does after installing
  prepush        check, then licences and sources of dependencies: run it before a push
  layers         fail when a crate depends on one above it, or holds unsafe code it must not
  benchmarks     write docs/benchmarks.md from docs/bench/*.json
  docs [--check] write docs/settings.md and docs/cli.md, or fail when they are not up to date";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = std::env::set_current_dir(&root)
        .map_err(|error| error.to_string())
        .and_then(|()| match words.as_slice() {
            ["check"] => check::check(),
            ["prepush"] => check::prepush(),
            ["layers"] => layers::check(),
            ["benchmarks"] => benchmarks::write(),
            ["docs"] => docs::write(),
            ["docs", "--check"] => docs::check(),
            _ => Err(USAGE.to_owned()),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tell(&message);
            ExitCode::FAILURE
        }
    }
}

/// Prints a line where the person who started the task sees it.
#[allow(clippy::print_stderr)] // a task talks to the person who started it
fn tell(message: &str) {
    eprintln!("{message}");
}
