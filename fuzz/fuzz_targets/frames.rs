//! Connect frames, read by both sides: the same whether they come whole or in pieces, and bounded. And what
//! stands before or beside frames: a request for a port, the numbers of a file for output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_wire::commands::{self, OUTPUT_NUMBERS};
use soulbox_wire::connect::{
    EndStream, Frame, FrameError, FrameReader, encode_frame, parse_timeout,
};
use soulbox_wire::dial;

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
    // The numbers at the beginning of a file for output, of which an agent writes what it likes.
    if let Some((numbers, _)) = bytes.split_first_chunk::<OUTPUT_NUMBERS>() {
        let room = u64::from(*first);
        for size in commands::read_sizes(*numbers, room) {
            assert!(size.kept <= room && size.kept <= size.total);
        }
    }
    // What begins a connection that is no HTTP: read as it is written, and nothing else is.
    if let Some(port) = dial::port(bytes) {
        assert!(dial::is_request(bytes) && bytes.len() <= dial::LONGEST);
        assert_eq!(dial::port(&dial::request(port)), Some(port));
    }
});
