//! One transaction within a commit. All that can be refused is refused before the first write, so
//! an error after it is one of the file, and ends the whole commit.

use super::reader;
use crate::bounds;
use crate::entry::{Entry, LeaseId, Revision};
use crate::store::StoreError;
use crate::transaction::{Operation, Outcome, Transaction};
use crate::watch::Change;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;
use std::time::Duration;

/// Why it was not done.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// This transaction cannot be done; nothing of it was.
    Refused(StoreError),
    /// The file failed.
    File(rusqlite::Error),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error)
    }
}

/// Does a transaction on the state `now`; tells what came of it and what changed.
pub(super) fn transact(
    connection: &Connection,
    transaction: &Transaction,
    now: Revision,
) -> Result<(Outcome, Vec<Change>), ApplyError> {
    let mut found = Vec::new();
    for (at, compare) in transaction.compares.iter().enumerate() {
        let entry = reader::get(connection, compare.key())?;
        if !compare.holds(entry.as_ref()) {
            found.push((at, entry));
        }
    }
    let side = match found.is_empty() {
        true => &transaction.then,
        false => &transaction.otherwise,
    };
    refuse(connection, side)?;
    let next = Revision(now.0 + 1);
    let mut changes = Vec::new();
    for operation in side {
        apply(connection, operation, next, &mut changes)?;
    }
    changes.sort_by(|one, other| one.key().cmp(other.key()));
    changes.dedup_by(|one, other| one.key() == other.key());
    let revision = if changes.is_empty() { now } else { next };
    let outcome = match found.is_empty() {
        true => Outcome::Committed { revision },
        false => Outcome::Failed { revision, found },
    };
    Ok((outcome, changes))
}

fn refuse(connection: &Connection, side: &[Operation]) -> Result<(), ApplyError> {
    let mut removed = 0;
    for operation in side {
        match operation {
            Operation::Put {
                lease: Some(lease), ..
            } if !is_lease(connection, *lease)? => {
                return Err(ApplyError::Refused(StoreError::NoLease(*lease)));
            }
            Operation::DeleteRange(span) => {
                let (first, behind) = reader::ends(span);
                let mut statement = connection.prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM entries WHERE key >= ?1 AND key < ?2 LIMIT ?3)",
                )?;
                let most = bounds::REMOVED + 1;
                let counted: i64 = statement
                    .query_row(params![first, behind, most.cast_signed()], |row| row.get(0))?;
                removed += counted.cast_unsigned();
                if removed > bounds::REMOVED as u64 {
                    return Err(ApplyError::Refused(StoreError::Removes));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn apply(
    connection: &Connection,
    operation: &Operation,
    next: Revision,
    changes: &mut Vec<Change>,
) -> Result<(), rusqlite::Error> {
    match operation {
        Operation::Put { key, value, lease } => {
            let mut statement = connection.prepare_cached(
                "INSERT INTO entries (key, value, created, modified, version, lease)
                 VALUES (?1, ?2, ?3, ?3, 1, ?4)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value,
                     modified = excluded.modified, version = version + 1, lease = excluded.lease
                 RETURNING created, version",
            )?;
            let leased = lease.map(|lease| lease.0.cast_signed());
            let put = params![key.as_bytes(), &value[..], next.0.cast_signed(), leased];
            let (created, version) = statement.query_row(put, |row| {
                Ok((
                    row.get::<_, i64>(0)?.cast_unsigned(),
                    row.get::<_, i64>(1)?.cast_unsigned(),
                ))
            })?;
            changes.push(Change::Put(Arc::new(Entry {
                key: key.clone(),
                value: value.clone(),
                created: Revision(created),
                modified: next,
                version,
                lease: *lease,
            })));
        }
        Operation::Delete(key) => {
            let mut statement = connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
            if statement.execute([key.as_bytes()])? > 0 {
                changes.push(Change::Removed(key.as_str().into()));
            }
        }
        Operation::DeleteRange(span) => {
            let (first, behind) = reader::ends(span);
            let mut statement = connection
                .prepare_cached("DELETE FROM entries WHERE key >= ?1 AND key < ?2 RETURNING key")?;
            removed(statement.query(params![first, behind])?, changes)?;
        }
    }
    Ok(())
}

fn removed(mut rows: rusqlite::Rows<'_>, changes: &mut Vec<Change>) -> Result<(), rusqlite::Error> {
    while let Some(row) = rows.next()? {
        changes.push(Change::Removed(reader::key(row)?.into()));
    }
    Ok(())
}

fn is_lease(connection: &Connection, lease: LeaseId) -> Result<bool, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM leases WHERE id = ?1")?;
    let found = statement.query_row([lease.0.cast_signed()], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Makes a lease.
pub(super) fn grant(connection: &Connection, time: Duration) -> Result<LeaseId, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("INSERT INTO leases (milliseconds) VALUES (?1) RETURNING id")?;
    let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let id: i64 = statement.query_row([milliseconds], |row| row.get(0))?;
    Ok(LeaseId(id.cast_unsigned()))
}

/// Ends a lease and removes its keys.
pub(super) fn end(connection: &Connection, lease: LeaseId) -> Result<Vec<Change>, rusqlite::Error> {
    let id = [lease.0.cast_signed()];
    let mut changes = Vec::new();
    let mut statement =
        connection.prepare_cached("DELETE FROM entries WHERE lease = ?1 RETURNING key")?;
    removed(statement.query(id)?, &mut changes)?;
    changes.sort_by(|one, other| one.key().cmp(other.key()));
    let mut statement = connection.prepare_cached("DELETE FROM leases WHERE id = ?1")?;
    statement.execute(id)?;
    Ok(changes)
}

/// All leases with their times.
pub(super) fn leases(connection: &Connection) -> Result<Vec<(LeaseId, Duration)>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT id, milliseconds FROM leases")?;
    let rows = statement.query_map([], |row| {
        let (id, milliseconds): (i64, i64) = (row.get(0)?, row.get(1)?);
        let longest = Duration::from_secs(*bounds::LEASE_SECONDS.end());
        let time = Duration::from_millis(milliseconds.cast_unsigned()).min(longest);
        Ok((LeaseId(id.cast_unsigned()), time))
    })?;
    rows.collect()
}
