//! What the host and an agent say to each other about recorded commands: those whose output goes
//! into a file of the host's, so that neither a client nor a server that goes away loses it.
//!
//! One connection to the agent's socket for all commands of a sandbox. It begins with
//! [`PREFACE`]; then both sides send frames (see [`crate::connect`]) with one JSON message each:
//! the host [`Request`]s, the agent [`Event`]s. The newest connection counts; the agent ends an
//! older one. Descriptors travel beside the first byte of the frame that says it has one.
//!
//! A file for output ([`OUTPUT_HEAD`]) has room for both outputs of a command, and cannot grow.

use crate::connect::RpcError;
use crate::envd::process::{EndEvent, ProcessConfig, PtySize};
use serde::{Deserialize, Serialize};

/// The first bytes of a connection for commands.
pub const PREFACE: &[u8] = b"COMMANDS 1\n";

/// The longest request, in bytes: Linux takes 2 MiB of arguments and variables together.
pub const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// The longest event, in bytes. The longest of an agent of ours is a refusal with its reason.
pub const MAX_EVENT: usize = 64 * 1024;

/// Bytes before the outputs in their file: four numbers of 64 bits, little-endian. For standard
/// output (or the terminal) and then for standard error: the bytes that are kept, and all that
/// were written. The rest is not used.
///
/// The outputs follow, each with half of the room that is left.
pub const OUTPUT_HEAD: u64 = 4096;

/// Bytes of the numbers at the beginning of a file for output.
pub const OUTPUT_NUMBERS: usize = 32;

/// The length of a file for outputs that each keep `most` bytes.
pub const fn output_length(most: u64) -> u64 {
    OUTPUT_HEAD + 2 * most
}

/// How many bytes each output keeps in a file of this length.
pub const fn output_room(length: u64) -> u64 {
    length.saturating_sub(OUTPUT_HEAD) / 2
}

/// A command to start. Its file for output travels beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The command's id. An id that was started already is refused: a command runs once.
    pub id: String,
    /// What to start.
    pub process: ProcessConfig,
    /// Who runs it; absent means the default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether its standard input is a pipe; otherwise it reads `/dev/null`.
    #[serde(default)]
    pub stdin: bool,
    /// A terminal instead of pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<PtySize>,
    /// Milliseconds after which it and its session are killed; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether its output waits, a while, until somebody follows it over `Connect`.
    #[serde(default)]
    pub attended: bool,
}

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Start a command. Answer: [`Event::Started`] or [`Event::Refused`].
    Start(Box<Start>),
    /// Tell, once, when a command writes more from now on. Answer: [`Event::Grew`], or its end.
    Follow {
        /// The command.
        id: String,
    },
    /// Send a signal. Answer: [`Event::Done`].
    Signal {
        /// What the answer is to be known by.
        call: u64,
        /// The command.
        id: String,
        /// The signal's number.
        signal: i32,
        /// Whether the command's whole process group gets it.
        group: bool,
    },
    /// The end of a command was noted: forget it. No answer.
    Forget {
        /// The command.
        id: String,
    },
    /// Tell all commands that are not forgotten. Answer: [`Event::Known`] for each, then
    /// [`Event::Recalled`].
    Recall,
}

/// What the agent tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A command runs.
    Started {
        /// The command.
        id: String,
        /// Its process id inside the sandbox.
        pid: u32,
    },
    /// A command was not started.
    Refused {
        /// The command.
        id: String,
        /// Why.
        error: RpcError,
    },
    /// A command has written more since that was asked.
    Grew {
        /// The command.
        id: String,
    },
    /// A command has ended and its output is over.
    Ended {
        /// The command.
        id: String,
        /// How.
        #[serde(flatten)]
        end: End,
    },
    /// What a [`Request::Signal`] came to.
    Done {
        /// Its number.
        call: u64,
        /// Why it could not be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<RpcError>,
    },
    /// A command that is not forgotten. Its file for output travels beside it.
    Known {
        /// The command.
        id: String,
        /// Its process id inside the sandbox.
        pid: u32,
        /// How it ended, if it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
    },
    /// There are no more [`Event::Known`].
    Recalled,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How its process ended.
    pub end: EndEvent,
    /// Whether its time limit ended it.
    #[serde(default)]
    pub timed_out: bool,
}

impl Request {
    /// Whether a descriptor travels beside it.
    pub const fn has_descriptor(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}

impl Event {
    /// Whether a descriptor travels beside it.
    pub const fn has_descriptor(&self) -> bool {
        matches!(self, Self::Known { .. })
    }
}

/// What the numbers at the beginning of a file for output say of one of its outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSize {
    /// Bytes that are kept: the first ones.
    pub kept: u64,
    /// All bytes that were written.
    pub total: u64,
}

impl OutputSize {
    /// Whether some of it was not kept.
    pub const fn is_cut(self) -> bool {
        self.total > self.kept
    }
}

/// Writes the numbers of a file for output.
pub fn write_sizes(sizes: [OutputSize; 2]) -> [u8; OUTPUT_NUMBERS] {
    let mut bytes = [0; OUTPUT_NUMBERS];
    let numbers = sizes.iter().flat_map(|size| [size.kept, size.total]);
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Reads the numbers of a file for output, in which each output has room for `room` bytes.
/// Whatever stands there, no more is kept than there is room, and no more than was written.
pub fn read_sizes(bytes: [u8; OUTPUT_NUMBERS], room: u64) -> [OutputSize; 2] {
    let mut sizes = [OutputSize::default(); 2];
    for (size, place) in sizes.iter_mut().zip(bytes.chunks_exact(16)) {
        let number = |at: usize| {
            let bytes = place
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        let (kept, total) = (number(0), number(8));
        *size = OutputSize {
            kept: kept.min(room).min(total),
            total,
        };
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written_and_bounded() {
        let size = |kept, total| OutputSize { kept, total };
        let sizes = [size(3, 3), size(8, 900)];
        assert_eq!(read_sizes(write_sizes(sizes), 8), sizes);
        assert!(sizes[1].is_cut() && !sizes[0].is_cut());
        let lies = [size(u64::MAX, u64::MAX), size(7, 5)];
        assert_eq!(
            read_sizes(write_sizes(lies), 8),
            [size(8, u64::MAX), size(5, 5)]
        );
        assert_eq!(output_room(output_length(8)), 8);
        assert_eq!(output_room(5), 0);
    }

    #[test]
    fn messages_have_names_and_flat_ends() {
        let end = End {
            end: EndEvent {
                exit_code: 3,
                exited: true,
                ..EndEvent::default()
            },
            timed_out: false,
        };
        let event = Event::Ended {
            id: "c1".to_owned(),
            end,
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"ended":{"id":"c1","end":{"exitCode":3,"exited":true},"timed_out":false}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
        let recall = serde_json::to_string(&Request::Recall).unwrap();
        assert_eq!(recall, r#""recall""#);
    }
}
