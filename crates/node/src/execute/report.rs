//! A run as one JSON object: what `soulbox run --json` prints and `POST /v1/execute` answers.

use crate::execute::{Capture, Execution, Outcome, Stage, TransferError};
use crate::memory_kill::MemoryKill;
use crate::node::Node;
use crate::sandbox::{Sandbox, Usage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use soulbox_model::{ByteSize, Cause, Phases};
use std::borrow::Cow;
use std::error::Error;

/// What is known of a run while its sandbox lives.
#[derive(Debug)]
pub struct Report {
    /// The sandbox.
    pub about: About,
    language: &'static str,
    limit: Option<u64>,
}

/// What is known of the sandbox of a run.
#[derive(Debug, Clone)]
pub struct About {
    /// Its id.
    pub sandbox: String,
    /// What it was made from.
    pub template: String,
    /// The level of isolation that it had.
    pub isolation: String,
    /// Limits that nothing held it to.
    pub not_enforced: Vec<String>,
    /// Where the time of its create went.
    pub create: Phases,
    /// The most memory that it might use.
    pub memory: ByteSize,
    /// What Linux killed for want of memory.
    pub memory_kill: Option<MemoryKill>,
    /// Its adaptive limits, where it was asked for them.
    pub adaptive: Option<Adaptive>,
}

/// What a run with adaptive limits was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adaptive {
    /// How many runs before it were the reason; 0: too few, so it was given what was declared.
    pub runs: usize,
    /// The most memory, in bytes.
    pub memory: u64,
    /// Processors, in thousandths of one.
    pub cpu_millis: u32,
    /// Where that was too little memory: what happened, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A file of the sandbox that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Its path in the sandbox.
    pub path: String,
    /// What it holds.
    pub content: Bytes,
}

/// One step and its length.
#[derive(Debug, Serialize)]
struct Step<'r> {
    step: &'r str,
    us: u64,
}

/// A file in the object: as text, or as base64 where it is none.
#[derive(Debug, Serialize)]
struct FileText<'r> {
    path: &'r str,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// A captured stream.
struct Text<'r> {
    text: Cow<'r, str>,
    base64: Option<String>,
}

/// The object. Times are in microseconds, sizes in bytes. What is no UTF-8 shows as U+FFFD in `stdout` and
/// `stderr`, and comes byte for byte in `stdout_base64` and `stderr_base64`; output that was passed on as it
/// came is not repeated.
#[derive(Debug, Serialize)]
pub struct Document<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    stdout_truncated: bool,
    stderr_truncated: bool,
    exit_code: Option<i32>,
    signal: Option<i32>,
    cause: Cause,
    stage: &'static str,
    isolation: &'r str,
    /// Limits that nothing held the sandbox to.
    not_enforced: &'r [String],
    sandbox: &'r str,
    template: &'r str,
    language: &'static str,
    phases: Vec<Step<'r>>,
    duration_us: u64,
    cpu_us: u64,
    peak_memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_kills: Option<MemoryKills<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<&'r Adaptive>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileText<'r>>,
    failed_outputs: Vec<String>,
}

/// What Linux killed for want of memory.
#[derive(Debug, Serialize)]
struct MemoryKills<'r> {
    /// How many processes.
    count: u64,
    /// The limit that was reached, in bytes.
    limit: u64,
    /// The name of the last one, as it chose it; absent where Linux's log may not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'r str>,
    /// What that one held, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
}

impl About {
    /// A sandbox of an engine of ours.
    pub fn here(sandbox: &Sandbox, node: &Node) -> Self {
        Self {
            sandbox: sandbox.id().to_string(),
            template: sandbox.template().to_string(),
            isolation: sandbox.isolation().as_str().to_owned(),
            not_enforced: node.not_enforced().to_vec(),
            create: sandbox.phases().clone(),
            memory: sandbox.spec().limits.memory_max,
            memory_kill: sandbox.memory_kill(),
            adaptive: None,
        }
    }
}

impl Report {
    /// What is known of the sandbox, and of what is run in it.
    pub fn of(about: About, execution: &Execution) -> Self {
        Self {
            about,
            language: execution.program.language.name,
            limit: execution.output_limit,
        }
    }

    /// The object. Without a capture the output was passed on as it came.
    pub fn document<'r>(
        &'r self,
        outcome: &'r Outcome,
        usage: Usage,
        capture: Option<&'r Capture>,
        files: &'r [Returned],
    ) -> Document<'r> {
        let over = outcome.cause == Cause::TooMuchOutput;
        let cut = |printed| over && self.limit.is_some_and(|limit| printed >= limit);
        let stdout = capture.map(|capture| text(&capture.stdout));
        let stderr = capture.map(|capture| text(&capture.stderr));
        let (stdout, stdout_base64) = halves(stdout);
        let (stderr, stderr_base64) = halves(stderr);
        let about = &self.about;
        let failed = outcome.failed_downloads.iter();
        Document {
            stdout,
            stderr,
            stdout_base64,
            stderr_base64,
            stdout_truncated: cut(outcome.printed.stdout),
            stderr_truncated: cut(outcome.printed.stderr),
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            cause: outcome.cause,
            stage: match outcome.stage {
                Stage::CopyIn => "copy_in",
                Stage::Compile => "compile",
                Stage::Run => "run",
            },
            isolation: &about.isolation,
            not_enforced: &about.not_enforced,
            sandbox: &about.sandbox,
            template: &about.template,
            language: self.language,
            phases: steps(&about.create, &outcome.phases),
            duration_us: micros(outcome.duration),
            cpu_us: micros(usage.cpu),
            peak_memory: usage.peak_memory.bytes(),
            memory_kills: (usage.oom_kills > 0).then(|| MemoryKills {
                count: usage.oom_kills,
                limit: about.memory.bytes(),
                held: about.memory_kill.as_ref().map(|kill| kill.held.bytes()),
                process: about.memory_kill.as_ref().map(|kill| &*kill.process),
            }),
            adaptive: about.adaptive.as_ref(),
            files: files.iter().map(file).collect(),
            failed_outputs: failed.map(in_words).collect(),
        }
    }
}

/// An error and what is behind it, in one line.
fn in_words(error: &TransferError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

fn halves(text: Option<Text<'_>>) -> (Option<Cow<'_, str>>, Option<String>) {
    text.map_or((None, None), |text| (Some(text.text), text.base64))
}

fn file(file: &Returned) -> FileText<'_> {
    let text = std::str::from_utf8(&file.content).ok();
    FileText {
        path: &file.path,
        size: file.content.len(),
        base64: text.is_none().then(|| STANDARD.encode(&file.content)),
        text,
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The text, and the bytes themselves where they are no text.
fn text(bytes: &[u8]) -> Text<'_> {
    let text = String::from_utf8_lossy(bytes);
    let is_lossy = matches!(text, Cow::Owned(_));
    Text {
        base64: is_lossy.then(|| STANDARD.encode(bytes)),
        text,
    }
}

/// The steps of the create, then those of the run.
fn steps<'r>(create: &'r Phases, run: &'r Phases) -> Vec<Step<'r>> {
    let all = create.0.iter().chain(&run.0);
    all.map(|(step, us)| Step { step, us: *us }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_come_as_base64_too() {
        let odd = text(b"a\xff");
        assert_eq!(
            (&*odd.text, odd.base64.as_deref()),
            ("a\u{fffd}", Some("Yf8="))
        );
        assert_eq!(text(b"plain").base64, None);
    }
}
