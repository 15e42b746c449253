//! Everything that a change must pass.

use crate::process::{exists, run, watched};
use crate::tally::Tally;
use crate::vm::{self, Form};
use crate::{attacks, docs, faults, fuzz, layers, tell};

/// How much of what can take long is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A short form of everything, which CI runs.
    Short,
    /// Everything, which takes an hour.
    All,
}

/// Minutes of all fuzz targets together in [`Extent::All`]: one for each, two at once.
const LONG_FUZZ: u64 = 9;

/// Format, lints, layers, documents, all tests here and in the virtual machine, and the fuzz
/// targets. Goes on after a failure, so that one run tells everything, and ends with the number
/// of tests.
pub(crate) fn check(extent: Extent) -> Result<(), String> {
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
    if extent == Extent::All {
        problems.extend(languages(&mut tally).err());
        problems.extend(faults::long(&mut tally).err());
    }
    let (form, fuzzed) = match extent {
        Extent::Short => (Form::Short, fuzz::short()),
        Extent::All => (Form::Long, fuzz::long(LONG_FUZZ)),
    };
    problems.extend(fuzzed.err());
    if vm::is_possible() {
        problems.extend(vm::test(form, &mut tally).err());
    } else {
        tell("skipped: no package of Debian's Linux for virtual machines here");
        tally.skipped += 1;
    }
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

/// The languages of the full template, which takes some minutes to build.
fn languages(tally: &mut Tally) -> Result<(), String> {
    let words = [
        "cargo",
        "nextest",
        "run",
        "--package",
        "soulbox-tests",
        "--run-ignored",
        "only",
    ];
    match watched(&words, |line| tally.read(line))? {
        true => Ok(()),
        false => Err("the suite of the languages of the full template failed".to_owned()),
    }
}

/// The check, and what needs a program that takes too long to build for each run of CI.
pub(crate) fn prepush() -> Result<(), String> {
    check(Extent::Short)?;
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
