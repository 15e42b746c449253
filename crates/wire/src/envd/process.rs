//! Messages of the service `process.Process`.

use super::json::{is_default, or_default, proto_enum};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A program to start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// The program: a path, or a name that is looked up in `PATH`.
    #[serde(default, deserialize_with = "or_default")]
    pub cmd: String,
    /// Its arguments, without the program's own name.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub args: Vec<String>,
    /// Variables on top of the sandbox's and the user's.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub envs: BTreeMap<String, String>,
    /// Its working directory; absent means the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtySize {
    /// Columns.
    #[serde(default, with = "super::json::number")]
    pub cols: u32,
    /// Rows.
    #[serde(default, with = "super::json::number")]
    pub rows: u32,
}

/// A terminal for a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pty {
    /// Its size; absent leaves the size as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<PtySize>,
}

/// Request of `Start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRequest {
    /// What to start; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessConfig>,
    /// Give it a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<Pty>,
    /// A name by which it can be selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whether its standard input is a pipe; absent means yes, `false` means `/dev/null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<bool>,
    /// Files that are there before it starts, of the user who runs it. SoulBox's own: what runs code sends the
    /// code along, and saves a request.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub files: Vec<StartFile>,
}

/// A file that comes with a start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFile {
    /// Where it goes, as in `POST /files`.
    pub path: String,
    /// What it holds.
    #[serde(default, with = "super::json::base64")]
    pub data: Vec<u8>,
    /// Whether it is a program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub executable: bool,
}

/// Names one process: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSelector {
    /// By its id inside the sandbox.
    #[serde(
        default,
        with = "super::json::optional_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub pid: Option<u32>,
    /// By the tag that its start carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl ProcessSelector {
    /// The process with this id.
    pub const fn pid(pid: u32) -> Self {
        Self {
            pid: Some(pid),
            tag: None,
        }
    }

    /// The process with this tag.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self {
            pid: None,
            tag: Some(tag.into()),
        }
    }
}

/// Request of `Connect` and `CloseStdin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectRequest {
    /// Which process; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessSelector>,
}

/// Request of `Update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// Which process; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessSelector>,
    /// Its terminal's new size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<Pty>,
}

/// Bytes for a process: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInput {
    /// For its standard input pipe.
    #[serde(
        default,
        with = "super::json::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub stdin: Option<Vec<u8>>,
    /// For its terminal.
    #[serde(
        default,
        with = "super::json::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub pty: Option<Vec<u8>>,
}

/// Request of `SendInput`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendInputRequest {
    /// Which process; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessSelector>,
    /// What it gets; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ProcessInput>,
}

/// One message of the stream `StreamInput`: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInputRequest {
    /// Which process the following data is for; the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<SelectRequest>,
    /// Bytes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<StreamInputData>,
    /// Nothing; keeps the connection from looking idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Empty>,
}

/// Bytes within a `StreamInput`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInputData {
    /// The bytes; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ProcessInput>,
}

proto_enum! {
    /// The signals that the protocol knows.
    Signal {
        /// None given.
        Unspecified = 0 "SIGNAL_UNSPECIFIED",
        /// Ask it to end.
        Term = 15 "SIGNAL_SIGTERM",
        /// End it.
        Kill = 9 "SIGNAL_SIGKILL",
    }
}

/// Request of `SendSignal`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendSignalRequest {
    /// Which process; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessSelector>,
    /// Which signal.
    #[serde(default)]
    pub signal: Signal,
}

/// A message without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// One living process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// As its start asked for it.
    #[serde(default)]
    pub config: ProcessConfig,
    /// Its id inside the sandbox.
    #[serde(default, with = "super::json::number")]
    pub pid: u32,
    /// Its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Answer of `List`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListResponse {
    /// Living processes that were started through the service, oldest first.
    #[serde(default, deserialize_with = "or_default")]
    pub processes: Vec<ProcessInfo>,
}

/// One message of the streams `Start` and `Connect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventResponse {
    /// What happened.
    #[serde(default)]
    pub event: ProcessEvent,
}

/// What happened to a process: exactly one of the four.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEvent {
    /// It runs. Always the first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartEvent>,
    /// It wrote something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataEvent>,
    /// It ended, and its output is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndEvent>,
    /// Nothing happened for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Empty>,
}

/// A process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEvent {
    /// Its id inside the sandbox.
    #[serde(default, with = "super::json::number")]
    pub pid: u32,
}

/// Output: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEvent {
    /// From its standard output.
    #[serde(
        default,
        with = "super::json::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub stdout: Option<Vec<u8>>,
    /// From its standard error.
    #[serde(
        default,
        with = "super::json::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub stderr: Option<Vec<u8>>,
    /// From its terminal.
    #[serde(
        default,
        with = "super::json::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub pty: Option<Vec<u8>>,
}

/// A process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndEvent {
    /// Its exit code; -1 when a signal ended it.
    #[serde(
        default,
        alias = "exit_code",
        with = "super::json::number",
        skip_serializing_if = "is_default"
    )]
    pub exit_code: i32,
    /// Whether it exited by itself, rather than by a signal.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub exited: bool,
    /// In words: `exit status 3`, `signal: killed`.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub status: String,
    /// The same words, unless its exit code is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
