//! The tasks around the code, one file for each: `cargo xtask <task>`.

mod attacks;
mod benchmarks;
mod check;
mod compatibility;
mod docs;
mod faults;
mod fuzz;
mod layers;
mod policy;
mod process;
mod tally;
mod vm;

use check::Extent;
use std::path::Path;
use std::process::ExitCode;
use tally::Tally;
use vm::Form;

const USAGE: &str = "\
usage: cargo xtask <task>

  check [--all]  format, lints, layers, documents and all tests: what CI does after installing;
                 or all that in its long form
  prepush        check, then licences and sources of dependencies: run it before a push
  vm [--short]   the tests in a virtual machine with an older Linux and cgroup v2
  vm <program> [<word>...]
                 one test program in it, with words for its harness
  fuzz [--minutes <n>]
                 every fuzz target for 2 seconds; or all for n minutes together, which keeps what
                 reaches more in fuzz/corpus and notes the result in docs/bench/fuzz.json
  faults         the fault suite in its long form: more kills, 10,000 sandboxes through one server
  layers         fail when a crate depends on one above it, or holds unsafe code it must not
  attacks        run the attack suite and tell what it found in one line; --json: as JSON
  benchmarks     write docs/benchmarks.md from docs/bench/*.json
  docs [--check] write docs/settings.md, docs/cli.md and docs/security-policy.md, or fail when they
                 are not up to date";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = std::env::set_current_dir(&root)
        .map_err(|error| error.to_string())
        .and_then(|()| match words.as_slice() {
            ["check"] => check::check(Extent::Short),
            ["check", "--all"] => check::check(Extent::All),
            ["prepush"] => check::prepush(),
            ["vm"] => vm(Form::Long),
            ["vm", "--short"] => vm(Form::Short),
            ["vm", program, words @ ..] => vm(Form::One(program, words)),
            ["fuzz"] => fuzz::short(),
            ["fuzz", "--minutes", minutes] => minutes
                .parse()
                .map_err(|_| USAGE.to_owned())
                .and_then(fuzz::noted),
            ["faults"] => faults::all(),
            ["layers"] => layers::check(),
            ["attacks"] => attacks::run(false),
            ["attacks", "--json"] => attacks::run(true),
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

/// The tests in the virtual machine, and how many passed.
fn vm(form: Form<'_>) -> Result<(), String> {
    let mut tally = Tally::default();
    let tested = vm::test(form, &mut tally);
    tell(&tally.to_string());
    tested
}

/// Prints a line where the person who started the task sees it.
#[allow(clippy::print_stderr)] // a task talks to the person who started it
fn tell(message: &str) {
    eprintln!("{message}");
}
