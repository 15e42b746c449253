//! Output of processes on its way: the frames that most of a stream consists of.

use super::json::base64;
use crate::connect::FRAME_HEADER;

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
    use crate::envd::process::{DataEvent, EventResponse, ProcessEvent};
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
}
