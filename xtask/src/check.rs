//! Everything that a change must pass.

use crate::process::{exists, run, watched};
use crate::tally::Tally;
use crate::{attacks, docs, layers, tell};

/// Format, lints, layers, documents and all tests. Goes on after a failure, so that one run tells
/// everything, and ends with the number of tests.
pub(crate) fn check() -> Result<(), String> {
    let mut problems = Vec::new();
    for step in [format, lints, layers::check, docs::check, program] {
        if let Err(problem) = step() {
            tell(&problem);
            problems.push(problem);
        }
    }
    attacks::forget()?;
    let mut tally = Tally::default();
    for words in [
        &["cargo", "nextest", "run", "--workspace"][..],
        &["cargo", "test", "--doc", "--workspace", "--quiet"],
    ] {
        if !watched(words, |line| tally.read(line))? {
            problems.push(format!("{} failed", words.join(" ")));
        }
    }
    attacks::summary()?;
    for problem in &problems {
        tell(&format!("FAILED: {problem}"));
    }
    // What is not a test and failed counts as one that failed.
    if tally.failed == 0 && !problems.is_empty() {
        tally.failed = problems.len() as u64;
    }
    close(&tally);
    match problems.is_empty() {
        true => Ok(()),
        false => Err("the check failed".to_owned()),
    }
}

/// The check, and what needs a program that takes too long to build for each run of CI.
pub(crate) fn prepush() -> Result<(), String> {
    check()?;
    if !exists(&["cargo", "deny", "--version"]) {
        return Err("cargo-deny is missing: cargo install cargo-deny --locked".to_owned());
    }
    run(&["cargo", "deny", "check", "licenses", "bans", "sources"])
}

fn format() -> Result<(), String> {
    run(&["cargo", "fmt", "--all", "--check"])
}

fn lints() -> Result<(), String> {
    run(&[
        "cargo",
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])
}

/// The program as people run it, for the black-box suite.
fn program() -> Result<(), String> {
    run(&["cargo", "build", "--quiet", "--release"])
}

/// The closing line, alone on stdout.
#[allow(clippy::print_stdout)] // the line that CI reads
fn close(tally: &Tally) {
    println!("{tally}");
}
