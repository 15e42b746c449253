//! The JSON object of a run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use soulbox_model::{ByteSize, Cause, Phases};
use soulbox_node::execute::{Capture, Captured, Execution, Outcome, Stage};
use soulbox_node::{MemoryKill, Node, Sandbox, Usage};

/// What is known of a run while its sandbox lives.
pub(super) struct Report {
    /// The sandbox.
    pub(super) about: About,
    language: &'static str,
    limit: Option<u64>,
}

/// What is known of the sandbox of a run.
pub(super) struct About {
    /// Its id.
    pub(super) sandbox: String,
    /// What it was made from.
    pub(super) template: String,
    /// The level of isolation that it had.
    pub(super) isolation: String,
    /// Limits that nothing held it to.
    pub(super) not_enforced: Vec<String>,
    /// Where the time of its create went.
    pub(super) create: Phases,
    /// The most memory that it might use.
    pub(super) memory: ByteSize,
    /// What Linux killed for want of memory.
    pub(super) memory_kill: Option<MemoryKill>,
}

/// One step and its length.
#[derive(Serialize)]
struct Step {
    step: String,
    us: u64,
}

/// A captured stream.
struct Text {
    text: String,
    base64: Option<String>,
}

/// The object. Times are in microseconds, sizes in bytes.
#[derive(Serialize)]
pub(super) struct Document {
    stdout: String,
    stderr: String,
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
    isolation: String,
    /// Limits that nothing held the sandbox to.
    not_enforced: Vec<String>,
    sandbox: String,
    template: String,
    language: &'static str,
    phases: Vec<Step>,
    duration_us: u64,
    cpu_us: u64,
    peak_memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_kills: Option<MemoryKills>,
    failed_outputs: Vec<String>,
}

/// What Linux killed for want of memory.
#[derive(Serialize)]
struct MemoryKills {
    /// How many processes.
    count: u64,
    /// The limit that was reached, in bytes.
    limit: u64,
    /// The name of the last one, as it chose it; absent where Linux's log may not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    /// What that one held, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
}

impl About {
    /// A sandbox of an engine of ours.
    pub(super) fn here(sandbox: &Sandbox, node: &Node) -> Self {
        Self {
            sandbox: sandbox.id().to_string(),
            template: sandbox.template().to_string(),
            isolation: sandbox.isolation().as_str().to_owned(),
            not_enforced: node.not_enforced().to_vec(),
            create: sandbox.phases().clone(),
            memory: sandbox.spec().limits.memory_max,
            memory_kill: sandbox.memory_kill(),
        }
    }
}

impl Report {
    pub(super) fn of(about: About, execution: &Execution) -> Self {
        Self {
            about,
            language: execution.program.language.name,
            limit: execution.output_limit,
        }
    }

    pub(super) fn document(self, outcome: &Outcome, usage: Usage, capture: &Capture) -> Document {
        let over = outcome.cause == Cause::TooMuchOutput;
        let cut = |printed| over && self.limit.is_some_and(|limit| printed >= limit);
        let (stdout, stderr) = (text(&capture.stdout), text(&capture.stderr));
        let about = self.about;
        Document {
            stdout: stdout.text,
            stderr: stderr.text,
            stdout_base64: stdout.base64,
            stderr_base64: stderr.base64,
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
            isolation: about.isolation,
            not_enforced: about.not_enforced,
            sandbox: about.sandbox,
            template: about.template,
            language: self.language,
            phases: steps(&about.create, &outcome.phases),
            duration_us: micros(outcome.duration),
            cpu_us: micros(usage.cpu),
            peak_memory: usage.peak_memory.bytes(),
            memory_kills: (usage.oom_kills > 0).then(|| MemoryKills {
                count: usage.oom_kills,
                limit: about.memory.bytes(),
                held: about.memory_kill.as_ref().map(|kill| kill.held.bytes()),
                process: about.memory_kill.map(|kill| kill.process),
            }),
            failed_outputs: outcome
                .failed_downloads
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The text, and the bytes themselves where they are no text.
fn text(bytes: &[u8]) -> Text {
    let captured = Captured::of(bytes);
    Text {
        base64: captured.is_lossy.then(|| STANDARD.encode(bytes)),
        text: captured.text,
    }
}

/// The steps of the create, then those of the run.
fn steps(create: &Phases, run: &Phases) -> Vec<Step> {
    let all = create.0.iter().chain(&run.0);
    all.map(|(step, us)| Step {
        step: step.clone(),
        us: *us,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_come_as_base64_too() {
        let odd = text(b"a\xff");
        assert_eq!(
            (odd.text.as_str(), odd.base64.as_deref()),
            ("a\u{fffd}", Some("Yf8="))
        );
        assert_eq!(text(b"plain").base64, None);
    }
}
