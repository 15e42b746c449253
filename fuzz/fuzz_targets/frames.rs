//! Connect frames, read by both sides: the same whether they come whole or in pieces, and bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_wire::connect::{
    EndStream, Frame, FrameError, FrameReader, encode_frame, parse_timeout,
};

/// Payloads beyond it are refused.
const LIMIT: usize = 300;

fn read(bytes: &[u8], piece: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut reader = FrameReader::new(LIMIT);
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, reader.finish())
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(*first).max(1)));
    for frame in &whole.0 {
        assert!(frame.payload.len() <= LIMIT);
        if frame.end {
            let _ = serde_json::from_slice::<EndStream>(&frame.payload);
        }
        let again = encode_frame(if frame.end { 2 } else { 0 }, &frame.payload);
        assert_eq!(read(&again, 1), (vec![frame.clone()], Ok(())));
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = parse_timeout(text);
    }
});
