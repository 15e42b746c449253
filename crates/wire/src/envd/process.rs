//! Messages of the service `process.Process`.

use super::json::{base64, is_default, or_default, proto_enum};
use crate::connect::FRAME_HEADER;
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

/// Which output a chunk comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The terminal.
    Pty,
}

/// The whole frame of a data event, written directly: this is the hot path of all output.
pub fn data_frame(output: Output, bytes: &[u8]) -> Vec<u8> {
    const TAIL: &[u8] = br#""}}}"#;
    let head: &[u8] = match output {
        Output::Stdout => br#"{"event":{"data":{"stdout":""#,
        Output::Stderr => br#"{"event":{"data":{"stderr":""#,
        Output::Pty => br#"{"event":{"data":{"pty":""#,
    };
    let length = head.len() + bytes.len().div_ceil(3) * 4 + TAIL.len();
    let Ok(announced) = u32::try_from(length) else {
        return Vec::new();
    };
    let mut frame = Vec::with_capacity(FRAME_HEADER + length);
    frame.push(0);
    frame.extend_from_slice(&announced.to_be_bytes());
    frame.extend_from_slice(head);
    base64::append(bytes, &mut frame);
    frame.extend_from_slice(TAIL);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::encode_frame;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn data_frames_written_by_hand_are_what_serde_writes(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for output in [Output::Stdout, Output::Stderr, Output::Pty] {
                let mut data = DataEvent::default();
                *match output {
                    Output::Stdout => &mut data.stdout,
                    Output::Stderr => &mut data.stderr,
                    Output::Pty => &mut data.pty,
                } = Some(bytes.clone());
                let event = ProcessEvent { data: Some(data), ..ProcessEvent::default() };
                let json = serde_json::to_vec(&EventResponse { event }).unwrap();
                prop_assert_eq!(data_frame(output, &bytes), encode_frame(0, &json));
            }
        }
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn lenient_forms_are_read() {
        let forms = [
            r#"{"pid":99}"#,
            r#"{"pid":"99"}"#,
            r#"{"pid":99.0}"#,
            r#"{"pid":99,"tag":null}"#,
            r#"{"pid":99,"unknown":{"a":[1,{}]}}"#,
        ];
        for json in forms {
            assert_eq!(
                read::<ProcessSelector>(json),
                ProcessSelector::pid(99),
                "{json}"
            );
        }
        assert_eq!(
            read::<ProcessSelector>(r#"{"pid":null}"#),
            ProcessSelector::default()
        );

        for (json, bytes) in [
            (r#"{"stdin":"+/8="}"#, vec![0xfb, 0xff]),
            (r#"{"stdin":"-_8"}"#, vec![0xfb, 0xff]),
            (r#"{"stdin":"+/8"}"#, vec![0xfb, 0xff]),
            (r#"{"stdin":"-_8="}"#, vec![0xfb, 0xff]),
            (r#"{"stdin":""}"#, vec![]),
        ] {
            assert_eq!(read::<ProcessInput>(json).stdin, Some(bytes), "{json}");
        }
        assert_eq!(read::<ProcessInput>(r#"{"stdin":null}"#).stdin, None);

        for (json, signal) in [
            (r#"{"signal":"SIGNAL_SIGKILL"}"#, Signal::Kill),
            (r#"{"signal":9}"#, Signal::Kill),
            (r#"{"signal":"SIGNAL_SIGTERM"}"#, Signal::Term),
            (r#"{"signal":15}"#, Signal::Term),
            (r#"{"signal":null}"#, Signal::Unspecified),
            (r#"{"signal":77}"#, Signal::Unspecified),
            (r#"{"signal":-1}"#, Signal::Unspecified),
            (r#"{"signal":"SIGNAL_NEW"}"#, Signal::Unspecified),
            (r"{}", Signal::Unspecified),
        ] {
            assert_eq!(read::<SendSignalRequest>(json).signal, signal, "{json}");
        }

        let end = read::<EndEvent>(r#"{"exit_code":"3","exited":true}"#);
        assert_eq!((end.exit_code, end.exited), (3, true));
        let start = read::<StartRequest>(r#"{"process":{"cmd":"x","args":null,"envs":null}}"#);
        assert_eq!(start.process.unwrap().cmd, "x");
    }

    #[test]
    fn wrong_forms_are_refused() {
        for json in [
            r#"{"pid":-1}"#,
            r#"{"pid":1.5}"#,
            r#"{"pid":"x"}"#,
            r#"{"pid":""}"#,
            r#"{"pid":4294967296}"#,
            r#"{"pid":1e300}"#,
            r#"{"pid":[1]}"#,
            r#"{"pid":1,"pid":2}"#,
            r#"{"tag":7}"#,
        ] {
            assert!(
                serde_json::from_str::<ProcessSelector>(json).is_err(),
                "{json}"
            );
        }
        for json in [r#"{"stdin":"*"}"#, r#"{"stdin":7}"#, r#"{"stdin":"a"}"#] {
            assert!(
                serde_json::from_str::<ProcessInput>(json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn defaults_are_left_out() {
        let end = EndEvent {
            exited: true,
            status: "exit status 0".into(),
            ..EndEvent::default()
        };
        let text = r#"{"exited":true,"status":"exit status 0"}"#;
        assert_eq!(serde_json::to_string(&end).unwrap(), text);
        let start = StartRequest {
            stdin: Some(false),
            ..StartRequest::default()
        };
        assert_eq!(serde_json::to_string(&start).unwrap(), r#"{"stdin":false}"#);
    }
}
