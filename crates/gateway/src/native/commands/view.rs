//! A command on the wire.

use serde::Serialize;
use soulbox_model::{CommandRecord, OutputSize, TerminalSize};

/// A command.
#[derive(Serialize)]
pub(super) struct Command<'a> {
    id: &'a str,
    sandbox_id: &'a str,
    cmd: &'a [String],
    cwd: Option<&'a str>,
    user: Option<&'a str>,
    stdin: bool,
    pty: Option<TerminalSize>,
    timeout_ms: Option<u64>,
    state: &'static str,
    pid: Option<u32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    detail: &'a str,
    started_at: String,
    ended_at: Option<String>,
    stdout: Output,
    stderr: Output,
}

/// How much a command wrote to one of its outputs.
#[derive(Serialize)]
struct Output {
    /// All bytes.
    total: u64,
    /// Those that can be read: the first ones.
    kept: u64,
    /// Whether that is not all.
    cut: bool,
}

impl From<OutputSize> for Output {
    fn from(size: OutputSize) -> Self {
        Self {
            total: size.total,
            kept: size.kept,
            cut: size.is_cut(),
        }
    }
}

impl<'a> From<&'a CommandRecord> for Command<'a> {
    fn from(record: &'a CommandRecord) -> Self {
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            id: record.id.as_str(),
            sandbox_id: record.sandbox.as_str(),
            cmd: &record.cmd,
            cwd: record.cwd.as_deref(),
            user: record.user.as_deref(),
            stdin: record.stdin,
            pty: record.terminal,
            timeout_ms: record.timeout.map(millis),
            state: record.state.as_str(),
            pid: record.pid,
            exit_code: record.exit_code,
            signal: record.signal,
            timed_out: record.timed_out,
            detail: &record.detail,
            started_at: record.started_at.to_string(),
            ended_at: record.ended_at.map(|at| at.to_string()),
            stdout: record.stdout.into(),
            stderr: record.stderr.into(),
        }
    }
}
