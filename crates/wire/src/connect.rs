//! Connect RPC over HTTP/1.1: frames of streams, error codes, error bodies.

use serde::{Deserialize, Serialize};

/// Content type of a unary request and answer.
pub const UNARY_TYPE: &str = "application/json";
/// Content type of a stream of frames. Clients compare it exactly, so it never has parameters.
pub const STREAM_TYPE: &str = "application/connect+json";
/// Request header: how long the client waits, in milliseconds, at most ten digits.
pub const TIMEOUT_HEADER: &str = "connect-timeout-ms";
/// Request header: the protocol's version, `1` where present.
pub const VERSION_HEADER: &str = "connect-protocol-version";

/// The header by which the host allows an agent to run a script in an interpreter that is loaded
/// already ([`crate::supply`]). Clients cannot send it: the gateway takes it away.
pub const FORKED_HEADER: &str = "soulbox-forked";

/// Bytes before the payload of each frame: one of flags, four of length (big-endian).
pub const FRAME_HEADER: usize = 5;
/// Flag of a compressed frame. Neither side of ours sends one.
pub const FLAG_COMPRESSED: u8 = 0b01;
/// Flag of the last frame of an answer, the only one whose payload is an [`EndStream`].
pub const FLAG_END: u8 = 0b10;

/// Why a frame cannot be read. The stream is unusable afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than the reader takes.
    #[error("frame of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Length that the frame's header announces.
        length: u64,
        /// The reader's limit.
        limit: usize,
    },
    /// A flag that the protocol does not know, or a compressed frame.
    #[error("frame has unsupported flags {0:#04x}")]
    Flags(u8),
    /// The bytes ended inside a frame.
    #[error("stream ended inside a frame")]
    Truncated,
}

/// One frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether this is the end of the stream; its payload is an [`EndStream`] then.
    pub end: bool,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Puts a frame around `payload`. A payload beyond 4 GiB cannot be framed and yields an empty
/// vector; no limit of ours comes near.
pub fn encode_frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    let Ok(length) = u32::try_from(payload.len()) else {
        return Vec::new();
    };
    let mut frame = Vec::with_capacity(FRAME_HEADER + payload.len());
    frame.push(flags);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Cuts a stream of bytes, however it arrives, into frames.
///
/// Holds at most one frame's header and `limit` bytes, plus what the last push brought.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` begins.
    start: usize,
}

impl FrameReader {
    /// A reader that refuses payloads of more than `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] and [`FrameError::Flags`] as soon as the header shows it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let Some((header, rest)) = unread.split_first_chunk::<FRAME_HEADER>() else {
            return Ok(None);
        };
        let [flags, length @ ..] = *header;
        if flags & !FLAG_END != 0 {
            return Err(FrameError::Flags(flags));
        }
        let length = u32::from_be_bytes(length);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > self.limit {
            return Err(FrameError::TooLong {
                length: length.into(),
                limit: self.limit,
            });
        }
        let Some(payload) = rest.get(..size) else {
            return Ok(None);
        };
        let frame = Frame {
            end: flags == FLAG_END,
            payload: payload.to_vec(),
        };
        self.start += FRAME_HEADER + size;
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
            self.start = 0;
        }
        Ok(Some(frame))
    }

    /// Checks, when the bytes are over, that they ended between two frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when they did not.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.start == self.buffer.len() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }
}

/// The codes of Connect, with the HTTP status that a unary answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The caller gave up.
    Canceled,
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The time limit passed.
    DeadlineExceeded,
    /// What the request names does not exist.
    NotFound,
    /// What the request makes exists already.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// A limit is reached.
    ResourceExhausted,
    /// The state of things forbids it.
    FailedPrecondition,
    /// A concurrent change got in the way.
    Aborted,
    /// Beyond the valid range.
    OutOfRange,
    /// No such method.
    Unimplemented,
    /// A fault of the server.
    Internal,
    /// Try again later.
    Unavailable,
    /// Data is lost for good.
    DataLoss,
    /// Who the caller is could not be told.
    Unauthenticated,
    /// A failure that has no better name; also a code that this side does not know.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// The HTTP status of a unary answer with this code, as the Connect protocol maps it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Canceled => 499,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
        }
    }
}

/// A failure as Connect tells it: the body of a unary answer, or part of an [`EndStream`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// What kind of failure.
    pub code: Code,
    /// What failed, on what.
    #[serde(default)]
    pub message: String,
}

impl RpcError {
    /// A failure of the kind `code`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The payload of the last frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndStream {
    /// Absent when all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// The last frame of a stream that ended well, or with `error`.
pub fn end_frame(error: Option<&RpcError>) -> Vec<u8> {
    let Some(error) = error else {
        return encode_frame(FLAG_END, b"{}");
    };
    let end = EndStream {
        error: Some(error.clone()),
    };
    // Two strings always serialise; the empty object is still a valid end.
    let payload = serde_json::to_vec(&end).unwrap_or_else(|_| b"{}".to_vec());
    encode_frame(FLAG_END, &payload)
}

/// A time limit from its header's value: a number of at most ten digits; `None` when it is none.
pub fn parse_timeout(value: &str) -> Option<std::time::Duration> {
    let valid = (1..=10).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    valid
        .then(|| value.parse().ok().map(std::time::Duration::from_millis))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(reader: &mut FrameReader, pieces: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(frame) = reader.next_frame()? {
                frames.push(frame);
            }
        }
        reader.finish()?;
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let last = payloads.len().saturating_sub(1);
            let mut bytes = Vec::new();
            for (index, payload) in payloads.iter().enumerate() {
                bytes.extend(encode_frame(if index == last { FLAG_END } else { 0 }, payload));
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let frames = read_all(&mut FrameReader::new(200), &pieces).unwrap();
            prop_assert_eq!(frames.len(), payloads.len());
            for (index, frame) in frames.iter().enumerate() {
                prop_assert_eq!(&frame.payload, &payloads[index]);
                prop_assert_eq!(frame.end, index == last);
            }
        }

        #[test]
        fn a_truncated_stream_is_told(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = encode_frame(0, &payload);
            let cut = 1 + cut.index(bytes.len() - 1);
            let read = read_all(&mut FrameReader::new(200), &[&bytes[..cut]]);
            prop_assert_eq!(read, Err(FrameError::Truncated));
        }

        #[test]
        fn an_oversize_frame_is_refused_by_its_header(length in 101_u32.., extra in 0_usize..9) {
            let mut reader = FrameReader::new(100);
            reader.push(&[0]);
            reader.push(&length.to_be_bytes());
            reader.push(&vec![0; extra]);
            let expected = FrameError::TooLong { length: length.into(), limit: 100 };
            prop_assert_eq!(reader.next_frame(), Err(expected));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_all(&mut FrameReader::new(64), &[&bytes]);
        }
    }

    #[test]
    fn unknown_and_compressed_flags_are_refused() {
        for flags in [FLAG_COMPRESSED, 4, 0x80, 3] {
            let mut reader = FrameReader::new(10);
            reader.push(&encode_frame(flags, b"{}"));
            assert_eq!(reader.next_frame(), Err(FrameError::Flags(flags)));
        }
    }

    #[test]
    fn end_frames_carry_the_error() {
        assert_eq!(end_frame(None), b"\x02\0\0\0\x02{}");
        let error = RpcError::new(Code::NotFound, "process with pid 7 not found");
        let text = r#"{"error":{"code":"not_found","message":"process with pid 7 not found"}}"#;
        assert_eq!(
            end_frame(Some(&error)),
            encode_frame(FLAG_END, text.as_bytes())
        );
    }

    #[test]
    fn codes_map_to_the_protocol_s_statuses() {
        let table = [
            ("canceled", 499),
            ("unknown", 500),
            ("invalid_argument", 400),
            ("deadline_exceeded", 504),
            ("not_found", 404),
            ("already_exists", 409),
            ("permission_denied", 403),
            ("resource_exhausted", 429),
            ("failed_precondition", 400),
            ("aborted", 409),
            ("out_of_range", 400),
            ("unimplemented", 501),
            ("internal", 500),
            ("unavailable", 503),
            ("data_loss", 500),
            ("unauthenticated", 401),
        ];
        for (name, status) in table {
            let code: Code = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert_eq!(code.status(), status, "{name}");
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{name}\""));
        }
        assert_eq!(
            serde_json::from_str::<Code>("\"strange\"").unwrap(),
            Code::Unknown
        );
    }

    #[test]
    fn timeouts_have_one_to_ten_digits() {
        assert_eq!(
            parse_timeout("60000"),
            Some(std::time::Duration::from_secs(60))
        );
        assert_eq!(
            parse_timeout("9999999999").map(|t| t.as_millis()),
            Some(9_999_999_999)
        );
        for wrong in ["", "12345678901", "-1", "+1", "1.5", "1s", " 1", "٣"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }
}
