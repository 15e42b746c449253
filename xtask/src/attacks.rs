//! What the attack suite found: one line, or JSON.

use crate::process::watched;
use crate::tell;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where each family of `tests/attacks` writes what it found.
const DIRECTORY: &str = "target/tmp/attacks";

/// What a family wrote.
#[derive(Debug, Deserialize)]
struct Family {
    family: String,
    attempts: Vec<Attempt>,
    heartbeat_ms: u64,
    neighbour_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    user: String,
    refusal: String,
    control: String,
}

/// All families together.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    attempts: usize,
    /// Who tried: `user` and `root` inside, `agent` for a hostile one.
    by: BTreeMap<String, usize>,
    refused: usize,
    succeeded: usize,
    /// Attempts of which it was shown in the same run that a success would be seen.
    controls: usize,
    /// Attempts at what the Linux that they ran on does not have.
    lacking: usize,
    families: BTreeMap<String, usize>,
    /// The longest that the host stood still, in milliseconds.
    heartbeat_ms: u64,
    /// The longest that a command in a neighbour took, in milliseconds.
    neighbour_ms: u64,
}

/// Runs the suite and tells what it found; as JSON on stdout when asked.
pub(crate) fn run(json: bool) -> Result<(), String> {
    forget()?;
    crate::process::run(&["cargo", "build", "--quiet", "--release"])?;
    let words = [
        "cargo",
        "test",
        "--quiet",
        "--package",
        "soulbox-tests",
        "--test",
        "attacks",
    ];
    let well = watched(&words, |_| {})?;
    if json {
        print(&serde_json::to_string(&read()?).map_err(|error| error.to_string())?);
    } else {
        summary()?;
    }
    match well {
        true => Ok(()),
        false => Err("an attack was not refused as it should be".to_owned()),
    }
}

/// Removes what earlier runs found.
pub(crate) fn forget() -> Result<(), String> {
    match fs::remove_dir_all(DIRECTORY) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{DIRECTORY}: {error}"))
        }
        _ => Ok(()),
    }
}

/// Tells what the last run found.
pub(crate) fn summary() -> Result<(), String> {
    tell(&line(&read()?));
    Ok(())
}

fn read() -> Result<Summary, String> {
    let mut families = Vec::new();
    if !Path::new(DIRECTORY).is_dir() {
        return Ok(Summary::default());
    }
    let told = |error: std::io::Error| format!("{DIRECTORY}: {error}");
    for entry in fs::read_dir(DIRECTORY).map_err(told)? {
        let text = fs::read_to_string(entry.map_err(told)?.path()).map_err(told)?;
        families.push(serde_json::from_str(&text).map_err(|error| error.to_string())?);
    }
    Ok(sum(&families))
}

fn sum(families: &[Family]) -> Summary {
    let mut sum = Summary::default();
    for family in families {
        sum.families
            .insert(family.family.clone(), family.attempts.len());
        sum.heartbeat_ms = sum.heartbeat_ms.max(family.heartbeat_ms);
        sum.neighbour_ms = sum.neighbour_ms.max(family.neighbour_ms);
        for attempt in &family.attempts {
            sum.attempts += 1;
            *sum.by.entry(attempt.user.clone()).or_default() += 1;
            match attempt.refusal.as_str() {
                "success" => sum.succeeded += 1,
                _ => sum.refused += 1,
            }
            match attempt.control.starts_with("none") {
                true => sum.lacking += 1,
                false => sum.controls += 1,
            }
        }
    }
    sum
}

fn line(sum: &Summary) -> String {
    let by: Vec<String> = sum
        .by
        .iter()
        .map(|(who, count)| format!("{count} as {who}"))
        .collect();
    format!(
        "attacks: {} attempts ({}), {} refused, {} succeeded; {} controls seen, {} at what this \
         Linux lacks; the host's longest pause {} ms, a neighbour's slowest command {} ms",
        sum.attempts,
        by.join(", "),
        sum.refused,
        sum.succeeded,
        sum.controls,
        sum.lacking,
        sum.heartbeat_ms,
        sum.neighbour_ms
    )
}

#[allow(clippy::print_stdout)] // what was asked for
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_counted() {
        let text = r#"{"family":"x","heartbeat_ms":7,"neighbour_ms":9,"attempts":[
            {"tries":"a","user":"user","refusal":"EPERM","control":"seen"},
            {"tries":"a","user":"root","refusal":"success","control":"none: lacking"}]}"#;
        let sum = sum(&[serde_json::from_str(text).unwrap()]);
        let counts = (
            sum.attempts,
            sum.refused,
            sum.succeeded,
            sum.controls,
            sum.lacking,
        );
        assert_eq!(counts, (2, 1, 1, 1, 1));
        assert!(line(&sum).starts_with("attacks: 2 attempts (1 as root, 1 as user), 1 refused"));
    }
}
