//! Reading, beside the writer.

use super::files::Files;
use super::schema;
use crate::bounds;
use crate::entry::{Entry, LeaseId, Revision};
use crate::key::Span;
use crate::range::{Order, Page, Range};
use crate::store::StoreError;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What a reader does.
pub(super) enum Read {
    /// This, and its answer goes where it knows.
    Do(Box<dyn FnOnce(&Connection) + Send>),
    /// Ends, and says so.
    Close(oneshot::Sender<()>),
}

/// Where readers take their work from.
pub(super) type Reads = Arc<Mutex<mpsc::Receiver<Read>>>;

/// Reads until it is told to end or nobody can ask any more.
pub(super) fn work(connection: Connection, files: Arc<Files>, reads: &Reads) {
    let closed = loop {
        let next = {
            // Who waits here holds the lock: the others wait for it instead of for work.
            let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.blocking_recv()
        };
        match next {
            Some(Read::Do(read)) => read(&connection),
            Some(Read::Close(done)) => break Some(done),
            None => break None,
        }
    };
    drop((connection, files));
    if let Some(done) = closed {
        let _ = done.send(());
    }
}

/// What is under a key.
pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<Entry>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT key, value, created, modified, version, lease FROM entries WHERE key = ?1",
    )?;
    statement.query_row([key.as_bytes()], entry).optional()
}

/// A page.
pub(super) fn range(connection: &Connection, range: &Range) -> Result<Page, rusqlite::Error> {
    // One state for the revision and all entries.
    let state = connection.unchecked_transaction()?;
    let revision = schema::revision(&state)?;
    let (mut first, mut behind) = ends(&range.span);
    let sql = match range.order {
        Order::Ascending => {
            if let Some(after) = &range.after {
                first = first.max([after.as_bytes(), b"\0"].concat());
            }
            "SELECT key, value, created, modified, version, lease FROM entries
             WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
        }
        Order::Descending => {
            if let Some(after) = &range.after {
                behind = behind.min(after.as_bytes().to_vec());
            }
            "SELECT key, value, created, modified, version, lease FROM entries
             WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
        }
    };
    let limit = range.limit.min(bounds::PAGE);
    let mut page = Page {
        entries: Vec::new(),
        revision,
        more: false,
    };
    let mut bytes = 0;
    let mut statement = state.prepare_cached(sql)?;
    let asked = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(rusqlite::params![first, behind, asked])?;
    while let Some(row) = rows.next()? {
        if page.entries.len() == limit || bytes >= bounds::PAGE_BYTES {
            page.more = true;
            break;
        }
        let entry = entry(row)?;
        bytes += entry.value.len();
        page.entries.push(entry);
    }
    Ok(page)
}

/// The ends of a span as bytes: the first belongs to it, the second does not.
pub(super) fn ends(span: &Span) -> (Vec<u8>, Vec<u8>) {
    let (first, behind) = span.ends();
    let behind = match behind {
        Bound::Excluded(behind) | Bound::Included(behind) => behind,
        // No UTF-8 has this byte, so it is behind every key.
        Bound::Unbounded => vec![0xff],
    };
    (first, behind)
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let number = |at| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(at)?.cast_unsigned());
    let lease: Option<i64> = row.get(5)?;
    Ok(Entry {
        key: key(row)?,
        value: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        created: Revision(number(2)?),
        modified: Revision(number(3)?),
        version: number(4)?,
        lease: lease.map(|lease| LeaseId(lease.cast_unsigned())),
    })
}

/// The key of a row, its first column.
pub(super) fn key(row: &Row<'_>) -> Result<String, rusqlite::Error> {
    String::from_utf8(row.get(0)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
    })
}

/// An error of SQLite while reading, in our words.
pub(super) fn told(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}
