//! What kernels say, how they are described, and what clients ask of them.

use crate::kernels::frame::{FrameReader, LONGEST};
use crate::kernels::http::body::Fields;
use crate::kernels::line::Line;
use crate::kernels::said::Said;
use crate::kernels::spec::{Spec, canonical};
use serde_json::Value;

/// What a kernel writes on its socket: a byte that says how long the pieces are in which it comes the
/// second time, which must change nothing, and the bytes. Every line that clients get of it is one
/// JSON object in ASCII.
pub fn kernel(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(*piece).max(1)));
    for frame in &whole.0 {
        assert!(frame.len() <= LONGEST);
        tell(frame);
    }
    // Most inputs are no frames; what stands in them is read as one all the same.
    tell(bytes);
}

fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.room().extend_from_slice(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}

fn tell(frame: &[u8]) {
    let Some(said) = Said::read(frame) else {
        return;
    };
    let Some(line) = Line::of(&said) else {
        return;
    };
    let mut bytes = Vec::new();
    line.write(&mut bytes);
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(bytes.is_ascii() && ends == 1 && bytes.ends_with(b"\n"));
    // Values may nest deeper than this reader goes, and be numbers beyond it.
    if bytes.len() < 128
        && let Ok(read) = serde_json::from_slice::<Value>(&bytes)
    {
        assert!(read["type"].is_string());
    }
}

/// A description of a kernel, or the body of a request.
pub fn kernel_text(text: &str) {
    if let Ok(spec) = Spec::parse("x", text.as_bytes()) {
        assert!(spec.argv.first().is_some_and(|program| !program.is_empty()));
        assert!(spec.argv.iter().all(|word| !word.contains('\0')));
    }
    let name = canonical(text);
    assert!(!name.is_empty() && name.trim() == name);
    if let Ok(mut fields) = Fields::read(text.as_bytes()) {
        let _ = fields.required_text("code");
        let _ = fields.text("language");
        let _ = fields.texts("env_vars");
        let _ = fields.finish();
    }
}
