//! What the fuzz targets (`fuzz/`) reach of this crate: readers of what clients send, each with
//! what must hold of any input. Built with `--cfg fuzzing` only.

use crate::account;
use crate::calendar;
use crate::files::multipart::{Event, Multipart, MultipartError};
use crate::files::{content_type, disposition, encoding, metadata, range};
use crate::process::signal;
use crate::rpc::{self, Call};
use crate::{path, request};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::path::{Component, Path};

mod http;
mod kernels;
pub use http::connection;
pub use kernels::{kernel, kernel_text};

/// An upload: a line with its content type, then its body. The first byte of the body says how
/// long the pieces are in which it comes the second time, which must change nothing.
pub fn multipart(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (Some(kind), Some(body)) = (lines.next(), lines.next()) else {
        return;
    };
    let (Ok(kind), Some((piece, body))) = (HeaderValue::from_bytes(kind), body.split_first())
    else {
        return;
    };
    let headers = HeaderMap::from_iter([(hyper::header::CONTENT_TYPE, kind)]);
    let whole = read_form(&headers, body, body.len().max(1));
    let pieces = read_form(&headers, body, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "in pieces it is another form");
    let bytes = whole.0.iter().map(|event| match event {
        Event::Data(bytes) => bytes.len(),
        _ => 0,
    });
    assert!(bytes.sum::<usize>() <= body.len(), "more came out than in");
}

/// The events of a form, pieces of data joined, and how it ended.
fn read_form(
    headers: &HeaderMap,
    body: &[u8],
    piece: usize,
) -> (Vec<Event>, Result<(), MultipartError>) {
    let mut events: Vec<Event> = Vec::new();
    let mut form = match Multipart::new(headers) {
        Ok(form) => form,
        Err(error) => return (events, Err(error)),
    };
    for piece in body.chunks(piece) {
        form.push(piece);
        loop {
            match form.next() {
                Ok(Event::Starved | Event::End) => break,
                Ok(Event::Data(more)) => match events.last_mut() {
                    Some(Event::Data(data)) => data.extend(more),
                    _ => events.push(Event::Data(more)),
                },
                Ok(event) => events.push(event),
                Err(error) => return (settled(events), Err(error)),
            }
        }
    }
    let end = form.finish();
    (if end.is_ok() { events } else { settled(events) }, end)
}

/// The events before an end in the middle: of a part's last data, more may be told when less of
/// what follows is known.
fn settled(mut events: Vec<Event>) -> Vec<Event> {
    if matches!(events.last(), Some(Event::Data(_))) {
        events.pop();
    }
    events
}

/// Headers, one `name: value` in each line, of a request for a file or a call.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            let _ = headers.try_append(name, value);
        }
    }
    for size in [0, 1, 1000, u64::MAX] {
        if let range::Wanted::Part { start, length } = range::wanted(&headers, size, 1_000_000) {
            let end = start.checked_add(length);
            assert!(length > 0 && end.is_some_and(|end| end <= size));
        }
    }
    let _ = Call::read(&headers);
    let _ = rpc::expects_stream(&headers);
    let _ = metadata::from_headers(&headers);
    for (_, value) in &headers {
        let Ok(value) = value.to_str() else {
            continue;
        };
        let _ = encoding::choose(Some(value));
        let _ = disposition::decode_extended(value);
        if let Some(name) = disposition::parameter(value, "filename") {
            let name = disposition::undo_form_escapes(&name);
            assert!(HeaderValue::try_from(disposition::inline(&name)).is_ok());
        }
        if let Some(seconds) = calendar::parse_http_date(value) {
            let again = calendar::parse_http_date(&calendar::http_date(seconds));
            assert_eq!(again, Some(seconds));
        }
    }
}

/// A query.
pub fn query(text: &str) {
    let fields = request::parse_query(text).unwrap_or_default();
    let length: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(length <= text.len());
}

/// The value that `/files` takes of a query, if the query can be read.
pub fn query_value(query: &str, wanted: &str) -> Option<Option<String>> {
    let fields = request::parse_query(query)?;
    let field = fields.into_iter().find(|(name, _)| name == wanted);
    Some(field.map(|(_, value)| value))
}

/// A path, and after a zero byte the default directory.
pub fn path(text: &str) {
    let (written, workdir) = match text.split_once('\0') {
        Some((written, workdir)) => (written, Some(workdir)),
        None => (text, None),
    };
    let account = account::Account {
        name: "user".to_owned(),
        uid: rustix::process::Uid::from_raw(1000),
        gid: rustix::process::Gid::from_raw(1000),
        home: "/home/user".to_owned(),
        groups: Vec::new(),
    };
    if let Ok(resolved) = path::resolve(written, &account, workdir) {
        let mut parts = resolved.components();
        assert_eq!(parts.next(), Some(Component::RootDir));
        assert!(parts.all(|part| matches!(part, Component::Normal(_))));
        let _ = path::base_name(&resolved);
        let _ = content_type::of(&resolved, text.as_bytes());
    }
    let _ = path::base_name(Path::new(text));
}

/// The line that Linux tells of a process whose name is `name`: it is the same with any.
pub fn process(name: &[u8]) {
    let _ = signal::session_of(name);
    let stat = [b"17 (", name, b") S 1 16 15 0 -1"].concat();
    assert_eq!(signal::session_of(&stat), Some(15));
}

/// A table of users or groups.
pub fn accounts(text: &str) {
    let (name, table) = text.split_once('\n').unwrap_or(("root", text));
    if let Some(account) = account::parse_account(table, name) {
        assert!(account.home.starts_with('/') && account.uid.as_raw() != u32::MAX);
    }
    let own = rustix::process::Gid::from_raw(1000);
    let groups = account::parse_groups(table, name, own);
    assert!((1..=crate::limits::GROUPS).contains(&groups.len()));
}
