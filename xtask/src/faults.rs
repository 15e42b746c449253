//! The fault suite in its long form: many more kills, and ten thousand sandboxes through one server.

use crate::process::{run, watched};
use crate::tally::Tally;

/// Rounds of kills; about two seconds each.
const ROUNDS: &str = "SOULBOX_FAULTS_ROUNDS=60";
/// Sandboxes that are made and ended one after another.
const SANDBOXES: &str = "SOULBOX_FAULTS_SANDBOXES=10000";

/// Builds the program and runs the suite against it.
pub(crate) fn all() -> Result<(), String> {
    run(&["cargo", "build", "--quiet", "--release"])?;
    long(&mut Tally::default())
}

/// Runs the suite against the program that is there. Counts into `tally`.
pub(crate) fn long(tally: &mut Tally) -> Result<(), String> {
    // One after another, so that the figures that it tells are its own; by the compiler's own harness, for which
    // no test takes too long.
    let words = [
        "env",
        ROUNDS,
        SANDBOXES,
        "cargo",
        "test",
        "--quiet",
        "--package",
        "soulbox-tests",
        "--test",
        "faults",
        "--",
        "--test-threads=1",
        "--nocapture",
    ];
    match watched(&words, |line| tally.read(line))? {
        true => Ok(()),
        false => Err("the long form of the fault suite failed".to_owned()),
    }
}
