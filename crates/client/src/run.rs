//! What became of code.

use crate::create::Phase;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use soulbox_model::Cause;
use std::time::Duration;

/// What became of code. That it failed is a `Run` as well.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Told")]
pub struct Run {
    /// What it printed on standard output.
    pub stdout: Bytes,
    /// What it printed on standard error; a compiler's words too.
    pub stderr: Bytes,
    /// Whether the output limit was reached on standard output, which ends a run.
    pub stdout_truncated: bool,
    /// Whether it was reached on standard error.
    pub stderr_truncated: bool,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why it ended.
    pub cause: Cause,
    /// How far it came: `copy_in`, `compile` or `run`.
    pub stage: String,
    /// From the first file in to the last one out.
    pub duration: Duration,
    /// Of all processors.
    pub cpu: Duration,
    /// The most memory of its sandbox, in bytes.
    pub peak_memory: u64,
    /// Where the time went.
    pub phases: Vec<Phase>,
    /// The files that were asked for.
    pub files: Vec<RunFile>,
    /// What of them could not be had, in words.
    pub failed_outputs: Vec<String>,
    /// The level of isolation that it had.
    pub isolation: String,
    /// Limits that nothing held it to.
    pub not_enforced: Vec<String>,
    /// Its sandbox, which is gone.
    pub sandbox: String,
    /// What that was made from.
    pub template: String,
    /// Its language.
    pub language: String,
}

impl Run {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.cause == Cause::Exited && self.exit_code == Some(0)
    }

    /// Its standard output as text; what is no UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A file that came back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ToldFile")]
pub struct RunFile {
    /// Its path in the sandbox.
    pub path: String,
    /// What it holds.
    pub content: Bytes,
}

#[derive(Deserialize)]
struct ToldFile {
    path: String,
    text: Option<String>,
    base64: Option<String>,
}

impl TryFrom<ToldFile> for RunFile {
    type Error = base64::DecodeError;

    fn try_from(told: ToldFile) -> Result<Self, Self::Error> {
        Ok(Self {
            path: told.path,
            content: whole(told.text, told.base64)?,
        })
    }
}

/// The bytes, which are there in base64 where they are no text.
pub(crate) fn whole(
    text: Option<String>,
    base64: Option<String>,
) -> Result<Bytes, base64::DecodeError> {
    match base64 {
        Some(base64) => STANDARD.decode(base64).map(Bytes::from),
        None => Ok(text.unwrap_or_default().into()),
    }
}

/// The answer as it is on the wire.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    stdout: Option<String>,
    #[serde(default)]
    stderr: Option<String>,
    #[serde(default, deserialize_with = "decoded")]
    stdout_base64: Option<Bytes>,
    #[serde(default, deserialize_with = "decoded")]
    stderr_base64: Option<Bytes>,
    #[serde(default)]
    stdout_truncated: bool,
    #[serde(default)]
    stderr_truncated: bool,
    exit_code: Option<i32>,
    signal: Option<i32>,
    cause: Cause,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    duration_us: u64,
    #[serde(default)]
    cpu_us: u64,
    #[serde(default)]
    peak_memory: u64,
    #[serde(default)]
    phases: Vec<Phase>,
    #[serde(default)]
    files: Vec<RunFile>,
    #[serde(default)]
    failed_outputs: Vec<String>,
    #[serde(default)]
    isolation: String,
    #[serde(default)]
    not_enforced: Vec<String>,
    sandbox: String,
    template: String,
    language: String,
}

fn decoded<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let bytes = text.map(|text| STANDARD.decode(text)).transpose();
    bytes
        .map(|bytes| bytes.map(Bytes::from))
        .map_err(D::Error::custom)
}

impl From<Told> for Run {
    fn from(told: Told) -> Self {
        let bytes = |text: Option<String>, bytes: Option<Bytes>| {
            bytes.unwrap_or_else(|| text.unwrap_or_default().into())
        };
        Self {
            stdout: bytes(told.stdout, told.stdout_base64),
            stderr: bytes(told.stderr, told.stderr_base64),
            stdout_truncated: told.stdout_truncated,
            stderr_truncated: told.stderr_truncated,
            exit_code: told.exit_code,
            signal: told.signal,
            cause: told.cause,
            stage: told.stage,
            duration: Duration::from_micros(told.duration_us),
            cpu: Duration::from_micros(told.cpu_us),
            peak_memory: told.peak_memory,
            phases: told.phases,
            files: told.files,
            failed_outputs: told.failed_outputs,
            isolation: told.isolation,
            not_enforced: told.not_enforced,
            sandbox: told.sandbox,
            template: told.template,
            language: told.language,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_text_comes_as_base64() {
        let run: Run = serde_json::from_value(json!({
            "stdout": "\u{fffd}", "stdout_base64": "/w==", "exit_code": 0, "signal": null,
            "cause": "exited", "sandbox": "i1", "template": "base", "language": "bash",
            "files": [{ "path": "/a", "size": 1, "text": "x" }, { "path": "/b", "size": 1, "base64": "/w==" }],
        }))
        .unwrap();
        assert!(run.is_success());
        assert_eq!(&run.stdout[..], b"\xff");
        assert_eq!(
            run.files.last().unwrap().content,
            Bytes::from_static(b"\xff")
        );
        let wrong = json!({ "path": "/a", "base64": "?" });
        assert!(serde_json::from_value::<RunFile>(wrong).is_err());
    }
}
