//! Reading requests: bodies within bounds, queries.

use crate::limits;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::io;

/// Why a request's body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body is longer than {0} bytes")]
    TooLong(usize),
    #[error("body brought nothing for {} seconds", limits::BODY_STALL.as_secs())]
    Stalled,
    #[error("body ended early: {0}")]
    Broken(#[from] hyper::Error),
    #[error("cannot decompress the body: {0}")]
    Compression(#[from] io::Error),
}

/// The next piece of a body; `None` at its end.
pub(crate) async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = tokio::time::timeout(limits::BODY_STALL, body.frame());
        match frame.await.map_err(|_| BodyError::Stalled)?.transpose()? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// The whole body, if it has at most `limit` bytes.
pub(crate) async fn read_whole(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let whole = read_bounded(&mut body, limit).await;
    if let Err(BodyError::TooLong(_)) = whole {
        drain(body);
    }
    whole
}

/// Has the rest of a body read that nobody wants, within bounds and beside the answer: a client
/// that is still sending would otherwise find its connection broken instead of the answer.
pub(crate) fn drain(mut body: Incoming) {
    tokio::task::spawn_local(async move {
        let mut left = limits::DRAINED;
        while let Ok(Some(piece)) = next_piece(&mut body).await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    });
}

async fn read_bounded(body: &mut Incoming, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLong(limit));
    }
    let Some(first) = next_piece(body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(BodyError::TooLong(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = first.to_vec();
    while let Some(piece) = next_piece(body).await? {
        if whole.len() + piece.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// The fields of a query, decoded, in their order. `None` when an escape is broken or the
/// result is not UTF-8.
pub(crate) fn parse_query(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            Some((decode_field(name)?, decode_field(value)?))
        })
        .collect()
}

/// Undoes the escapes of a form's field: `+` and `%20` are spaces.
pub(crate) fn decode_field(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = parse_query("path=%2Fa%20b+c&username=&x&&p=%C3%A4=").unwrap();
        let expected = [("path", "/a b c"), ("username", ""), ("x", ""), ("p", "ä=")];
        let fields: Vec<_> = query
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(fields, expected);
        for broken in ["a=%", "a=%2", "a=%zz", "a=%ff", "%=1"] {
            assert_eq!(parse_query(broken), None, "{broken}");
        }
        assert_eq!(parse_query(""), Some(Vec::new()));
    }
}
