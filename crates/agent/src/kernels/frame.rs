//! Frames of the control socket: four bytes of length, big-endian, and that many bytes of JSON.

use serde::Serialize;

/// Bytes of JSON in one frame, either way: the protocol's own number (`kernels/python/README.md`).
pub(crate) const LONGEST: usize = 32 * 1024 * 1024;

/// Bytes of a frame's length.
const HEAD: usize = 4;

/// Bytes that are read at once, while frames are short.
const PIECE: usize = 16 * 1024;

/// Bytes that are read at once for the rest of a long frame. What a frame only announces takes no
/// memory.
const LARGE_PIECE: usize = 256 * 1024;

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is longer than {LONGEST} bytes")]
    TooLong(usize),
}

/// Makes frames of the bytes that arrive.
#[derive(Default)]
pub(crate) struct FrameReader {
    bytes: Vec<u8>,
    /// Where the first frame begins that was not taken.
    start: usize,
}

impl FrameReader {
    /// Where the next bytes are to be added, with room for some.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let missing = self.announced().map_or(0, |length| {
            (HEAD + length.min(LONGEST)).saturating_sub(self.bytes.len())
        });
        if self.bytes.is_empty() {
            self.bytes.shrink_to(PIECE);
        }
        self.bytes.reserve(missing.clamp(PIECE, LARGE_PIECE));
        &mut self.bytes
    }

    /// The JSON of the next whole frame.
    ///
    /// # Errors
    /// The frame is too long; what follows cannot be understood any more.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(length) = self.announced() else {
            return Ok(None);
        };
        if length > LONGEST {
            return Err(FrameError::TooLong(length));
        }
        let begin = self.start + HEAD;
        let frame = self.bytes.get(begin..begin + length);
        if frame.is_some() {
            self.start = begin + length;
        }
        Ok(frame)
    }

    /// The length that the next frame says it has.
    fn announced(&self) -> Option<usize> {
        let head = self.bytes.get(self.start..)?.first_chunk::<HEAD>()?;
        usize::try_from(u32::from_be_bytes(*head)).ok()
    }
}

/// The frame with `message`.
///
/// # Errors
/// It would be too long.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEAD];
    // Messages are strings and maps of strings, which always serialise.
    let _ = serde_json::to_writer(&mut bytes, message);
    let length = bytes.len() - HEAD;
    let head = u32::try_from(length).ok().filter(|_| length <= LONGEST);
    match (head, bytes.first_chunk_mut::<HEAD>()) {
        (Some(length), Some(head)) => {
            *head = length.to_be_bytes();
            Ok(bytes)
        }
        _ => Err(FrameError::TooLong(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            reader.room().extend_from_slice(piece);
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_comes() {
        let mut bytes = encode(&"a").unwrap();
        bytes.extend(33_554_433_u32.to_be_bytes());
        let error = FrameError::TooLong(LONGEST + 1);
        assert_eq!(read(&bytes, 3), (vec![b"\"a\"".to_vec()], Some(error)));
        let mut reader = FrameReader::default();
        reader.room().extend(33_554_432_u32.to_be_bytes());
        assert_eq!(reader.next_frame(), Ok(None));
        assert!(reader.room().capacity() < 1024 * 1024, "only announced");
        assert!(encode(&"x".repeat(LONGEST)).is_err());
        assert!(encode(&"x".repeat(LONGEST - 2)).is_ok());
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(texts in prop::collection::vec(".{0,80}", 0..20), piece in 1_usize..200) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| encode(text).unwrap()).collect();
            let expected: Vec<Vec<u8>> = texts.iter().map(|text| serde_json::to_vec(text).unwrap()).collect();
            prop_assert_eq!(read(&bytes, piece), (expected, None));
        }

        #[test]
        fn any_bytes_are_read_alike_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
            prop_assert_eq!(read(&bytes, piece), read(&bytes, bytes.len()));
        }
    }
}
