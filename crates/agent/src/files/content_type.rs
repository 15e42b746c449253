//! The content type of a file: by its name's ending, else by a look at its beginning.

use std::path::Path;

const TYPES: [(&str, &str); 26] = [
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    ("xml", "text/xml; charset=utf-8"),
    ("zip", "application/zip"),
];

/// Bytes that are looked at, as many as browsers take.
pub(crate) const LOOK: usize = 512;

/// The content type of the file called `path` that begins with `first`.
pub(crate) fn of(path: &Path, first: &[u8]) -> &'static str {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .map(str::to_ascii_lowercase);
    let known = TYPES
        .iter()
        .find(|(known, _)| ending.as_deref() == Some(known));
    match known {
        Some((_, kind)) => kind,
        None if is_text(first) => "text/plain; charset=utf-8",
        None => "application/octet-stream",
    }
}

/// Whether bytes are the beginning of a text: UTF-8, maybe cut, without control characters that
/// texts do not have.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars()
        .all(|letter| !letter.is_control() || "\t\n\x0c\r\x1b".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_ending_then_by_content() {
        assert_eq!(of(Path::new("/a/B.PNG"), b"text"), "image/png");
        assert_eq!(
            of(Path::new("/a/b"), "häh".as_bytes()),
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            of(Path::new("/a/b"), &"hä".as_bytes()[..2]),
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            of(Path::new("/a/b.unknown"), b"a\0b"),
            "application/octet-stream"
        );
        assert_eq!(
            of(Path::new("/a/b"), b"\xff\xfe"),
            "application/octet-stream"
        );
        assert_eq!(of(Path::new("/a/b"), b""), "text/plain; charset=utf-8");
    }
}
