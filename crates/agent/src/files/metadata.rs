//! What an upload attaches to a file: `X-Metadata-<key>` headers, kept as extended attributes.

use crate::limits;
use crate::reply::Failure;
use hyper::header::HeaderMap;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::Path;

/// What attributes of ours begin with.
const PREFIX: &str = "user.e2b.";
/// What headers with metadata begin with; Linux's names keep the case, HTTP's have none.
const HEADER: &str = "x-metadata-";
/// Bytes of the names of all attributes of a file (`XATTR_LIST_MAX` of Linux).
const NAMES: usize = 64 * 1024;

/// Metadata by key.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Reads the metadata of an upload's headers.
pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Metadata, Failure> {
    let mut metadata = Metadata::new();
    let mut total = 0;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(HEADER) else {
            continue;
        };
        let invalid = |what: &str| Failure::bad_request(format!("metadata '{key}' {what}"));
        if key.is_empty() || key.len() > limits::METADATA_KEY {
            return Err(invalid("has an empty or too long key (at most 246 bytes)"));
        }
        let value = value.to_str().ok().filter(|value| !value.contains('\t'));
        let value = value.ok_or_else(|| invalid("is not printable ASCII"))?;
        total += key.len() + value.len();
        if total > limits::METADATA {
            return Err(invalid("makes the metadata longer than 4096 bytes"));
        }
        metadata.insert(key.to_owned(), value.to_owned());
    }
    Ok(metadata)
}

/// The metadata of the file at `path`; empty where the file system keeps none.
pub(crate) fn read(path: &Path) -> Metadata {
    let mut metadata = Metadata::new();
    for name in names(path) {
        let mut value = [0_u8; limits::METADATA];
        let Ok(length) = rustix::fs::getxattr(path, name.as_str(), &mut value) else {
            continue;
        };
        let value = value.get(..length).unwrap_or_default();
        if let (Some(key), Ok(value)) = (name.strip_prefix(PREFIX), std::str::from_utf8(value)) {
            metadata.insert(key.to_owned(), value.to_owned());
        }
    }
    metadata
}

/// Makes `metadata` all that is attached to the file at `path`. Calls nothing that changes
/// nothing, for a change of attributes is news to who watches the file.
pub(crate) fn replace(path: &Path, metadata: &Metadata) {
    let mut known = read(path);
    for (key, value) in metadata {
        if known.remove(key).as_ref() != Some(value) {
            // A file system without attributes is no reason to fail an upload.
            let name = format!("{PREFIX}{key}");
            let _ = rustix::fs::setxattr(path, name, value.as_bytes(), XattrFlags::empty());
        }
    }
    for key in known.keys() {
        let _ = rustix::fs::removexattr(path, format!("{PREFIX}{key}"));
    }
}

/// The names of those attributes that are metadata.
fn names(path: &Path) -> Vec<String> {
    // Nearly always enough; most files have no attributes at all.
    let mut list = vec![0_u8; 512];
    let mut length = rustix::fs::listxattr(path, list.as_mut_slice());
    if length == Err(Errno::RANGE) {
        list.resize(NAMES, 0);
        length = rustix::fs::listxattr(path, list.as_mut_slice());
    }
    let list = list.get(..length.unwrap_or(0)).unwrap_or_default();
    let names = list
        .split(|byte| *byte == 0)
        .filter_map(|name| std::str::from_utf8(name).ok());
    names
        .filter(|name| name.starts_with(PREFIX))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_become_metadata_within_bounds() {
        let metadata = from_headers(&headers(&[("X-Metadata-Colour", "b c"), ("other", "x")]));
        assert_eq!(
            metadata.unwrap(),
            Metadata::from([("colour".into(), "b c".into())])
        );
        let long_key = format!("x-metadata-{}", "k".repeat(247));
        let long_value = "v".repeat(4096);
        for (name, value) in [
            ("x-metadata-", "v"),
            (long_key.as_str(), "v"),
            ("x-metadata-k", long_value.as_str()),
            ("x-metadata-k", "ä"),
            ("x-metadata-k", "a\tb"),
        ] {
            assert!(from_headers(&headers(&[(name, value)])).is_err(), "{name}");
        }
    }

    #[test]
    fn metadata_replaces_what_was_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let name = format!("{PREFIX}probe");
        if rustix::fs::setxattr(path, name, b"1", XattrFlags::empty()) == Err(Errno::OPNOTSUPP) {
            eprintln!(
                "skipped: the file system of {} keeps no attributes",
                path.display()
            );
            return;
        }
        let first = Metadata::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        replace(path, &first);
        assert_eq!(read(path), first);
        let second = Metadata::from([("b".into(), "3".into())]);
        replace(path, &second);
        assert_eq!(read(path), second);
        replace(path, &Metadata::new());
        assert_eq!(read(path), Metadata::new());
    }
}
