//! The fuzz targets in `fuzz/`, with the toolchain of the repository: libFuzzer's instrumentation
//! is there in a stable compiler, and what needs none has no unsafe code that a sanitizer would
//! watch.

use crate::process::{followed, output, run};
use crate::tell;
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Seconds of each target in the form that CI runs.
pub(crate) const SHORT: u64 = 12;
/// Processors that are used, and so targets that run at once.
const AT_ONCE: usize = 2;
/// Where the programs are built for; naming it keeps the instrumentation out of build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Where the result of the long form is noted.
const RESULT: &str = "docs/bench/fuzz.json";
/// The longest input that is tried, in bytes.
const LONGEST: &str = "-max_len=4096";
/// The longest input that is kept in the repository, in bytes: it is read by people and in each
/// run.
const KEPT: &str = "-max_len=160";
/// How many inputs of a target are kept in the repository.
const KEPT_COUNT: usize = 32;
/// How long the inputs of a target may take to be merged.
const MERGE: Duration = Duration::from_secs(600);
/// What libFuzzer wants of the compiler.
const FLAGS: &str = "RUSTFLAGS=--cfg=fuzzing -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Ccodegen-units=4";

/// How the programs are built.
#[derive(Debug, Clone, Copy)]
enum Build {
    /// Quickly.
    Short,
    /// To run long.
    Long,
}

impl Build {
    fn program(self, target: &str) -> String {
        let profile = match self {
            Self::Short => "debug",
            Self::Long => "release",
        };
        format!("fuzz/target/{TRIPLE}/{profile}/{target}")
    }
}

/// What a target came to.
#[derive(Debug, Clone, Default, Serialize)]
struct Outcome {
    target: String,
    seconds: u64,
    runs: u64,
    /// Places of the program that were reached, edges of its control flow.
    coverage: u64,
    /// Inputs that ended the target.
    findings: u64,
}

/// All outcomes, as they are noted.
#[derive(Debug, Serialize)]
struct Noted<'a> {
    bench: &'static str,
    linux: String,
    rust: String,
    /// Targets that ran at once.
    at_once: usize,
    targets: &'a [Outcome],
}

/// Runs each target for [`SHORT`] seconds, some at once.
pub(crate) fn short() -> Result<(), String> {
    judge(&all(Build::Short, SHORT)?)
}

/// Runs all targets for `minutes` of wall time together.
pub(crate) fn long(minutes: u64) -> Result<(), String> {
    judge(&all(Build::Long, seconds_each(minutes)?)?)
}

/// The same, keeps the inputs that reach more, and notes the result.
pub(crate) fn noted(minutes: u64) -> Result<(), String> {
    let outcomes = all(Build::Long, seconds_each(minutes)?)?;
    let noted = Noted {
        bench: "fuzz",
        linux: output(&["uname", "-r"])?.trim().to_owned(),
        rust: output(&["rustc", "--version"])?.trim().to_owned(),
        at_once: AT_ONCE,
        targets: &outcomes,
    };
    let json = serde_json::to_string_pretty(&noted).map_err(|error| error.to_string())?;
    fs::write(RESULT, json + "\n").map_err(|error| format!("cannot write {RESULT}: {error}"))?;
    judge(&outcomes)?;
    outcomes
        .iter()
        .try_for_each(|outcome| keep(&outcome.target))
}

fn seconds_each(minutes: u64) -> Result<u64, String> {
    let rounds = targets()?.len().div_ceil(AT_ONCE).max(1) as u64;
    Ok((minutes.saturating_mul(60) / rounds).max(1))
}

/// The names of the targets: the files of `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>, String> {
    let directory = Path::new("fuzz/fuzz_targets");
    let entries = fs::read_dir(directory)
        .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn all(build: Build, seconds: u64) -> Result<Vec<Outcome>, String> {
    make(build)?;
    let left = Mutex::new(targets()?);
    let outcomes = Mutex::new(Vec::new());
    let next = || left.lock().ok().and_then(|mut left| left.pop());
    std::thread::scope(|scope| {
        let work = || -> Result<(), String> {
            while let Some(target) = next() {
                let outcome = one(build, &target, seconds)?;
                if let Ok(mut outcomes) = outcomes.lock() {
                    outcomes.push(outcome);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or(Err("a worker panicked".to_owned())))
    })?;
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(outcomes)
}

fn make(build: Build) -> Result<(), String> {
    let mut words = vec![
        "env",
        FLAGS,
        // No target starts a sandbox, so the programs that go into one are not built.
        "SOULBOX_INNER_BUILD=1",
        "cargo",
        "build",
        "--quiet",
        "--locked",
        "--manifest-path=fuzz/Cargo.toml",
        "--target",
        TRIPLE,
    ];
    if matches!(build, Build::Long) {
        words.push("--release");
    }
    run(&words)
}

fn place(kind: &str, target: &str) -> Result<String, String> {
    let path = PathBuf::from("fuzz").join(kind).join(target);
    fs::create_dir_all(&path)
        .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    Ok(format!("{}/", path.display()))
}

fn one(build: Build, target: &str, seconds: u64) -> Result<Outcome, String> {
    let (work, corpus, artifacts) = (
        place("work", target)?,
        place("corpus", target)?,
        place("artifacts", target)?,
    );
    let mut outcome = Outcome {
        target: target.to_owned(),
        seconds,
        ..Outcome::default()
    };
    let mut lines = Vec::new();
    let time = format!("-max_total_time={seconds}");
    let prefix = format!("-artifact_prefix={artifacts}");
    // New inputs go into the first directory; those of the repository are only read.
    let words = [
        build.program(target).as_str(),
        &time,
        &prefix,
        "-print_final_stats=1",
        "-verbosity=1",
        LONGEST,
        "-timeout=20",
        "-rss_limit_mb=1024",
        &work,
        &corpus,
    ]
    .map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Beyond its time limit a target may still read its corpus.
    let limit = Duration::from_secs(seconds + 120);
    let passed = followed(limit, &words, |line| lines.push(line.to_owned()))?;
    for line in &lines {
        outcome.read(line);
    }
    if !passed {
        outcome.findings = 1;
        lines.iter().for_each(|line| tell(line));
    }
    tell(&format!(
        "{target}: {} runs in {seconds} s, {} places reached{}",
        outcome.runs,
        outcome.coverage,
        if passed { "" } else { ", FAILED" }
    ));
    Ok(outcome)
}

impl Outcome {
    /// Reads a line of libFuzzer: a report (`#99 NEW    cov: 12 ft: 3 …`) or a count at the end
    /// (`stat::number_of_executed_units: 99`).
    fn read(&mut self, line: &str) {
        let number = |text: &str| text.split_whitespace().next()?.parse().ok();
        if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = number(runs).unwrap_or(self.runs);
        } else if let Some((_, coverage)) = line.split_once(" cov: ") {
            self.coverage = number(coverage).unwrap_or(self.coverage);
        }
    }
}

/// Adds to the repository's inputs of a target the short ones that reach what those do not.
fn keep(target: &str) -> Result<(), String> {
    let (work, corpus) = (place("work", target)?, place("corpus", target)?);
    let failed = |error| format!("cannot renew {corpus}: {error}");
    let merged = format!("fuzz/work/{target}.merged");
    let _ = fs::remove_dir_all(&merged);
    fs::create_dir_all(&merged).map_err(failed)?;
    let old = files(&corpus).map_err(failed)?;
    for name in &old {
        fs::copy(Path::new(&corpus).join(name), Path::new(&merged).join(name)).map_err(failed)?;
    }
    let program = Build::Long.program(target);
    let words = [&program, "-merge=1", KEPT, &merged, &work];
    if !followed(MERGE, &words, |_| {})? {
        return Err(format!("{target} cannot merge its inputs"));
    }
    let mut new = files(&merged).map_err(failed)?;
    new.retain(|name| !old.contains(name));
    new.sort();
    for name in new.iter().take(KEPT_COUNT.saturating_sub(old.len())) {
        fs::copy(Path::new(&merged).join(name), Path::new(&corpus).join(name)).map_err(failed)?;
    }
    fs::remove_dir_all(&merged).map_err(failed)
}

fn files(directory: &str) -> std::io::Result<Vec<OsString>> {
    let entries = fs::read_dir(directory)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

fn judge(outcomes: &[Outcome]) -> Result<(), String> {
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.findings > 0 || outcome.runs == 0)
        .map(|outcome| outcome.target.as_str())
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "fuzzing found something in {}: the inputs lie in fuzz/artifacts",
            failed.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let mut outcome = Outcome::default();
        for line in [
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#99\tNEW    cov: 23 ft: 45 corp: 2/7b lim: 4 exec/s: 0 rss: 40Mb",
            "stat::number_of_executed_units: 4567",
            "stat::peak_rss_mb:              41",
            "anything else",
        ] {
            outcome.read(line);
        }
        assert_eq!((outcome.runs, outcome.coverage), (4567, 23));
        assert!(judge(&[outcome.clone()]).is_ok());
        outcome.findings = 1;
        assert!(judge(&[outcome]).is_err());
        assert!(judge(&[Outcome::default()]).is_err(), "nothing ran");
    }
}
