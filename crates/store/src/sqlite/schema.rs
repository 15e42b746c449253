//! Connections, and what the file looks like.

use super::OpenError;
use super::files::{Files, LOG};
use crate::entry::Revision;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Marks the file as ours: "sbox".
const APPLICATION: i32 = 0x7362_6f78;

/// The steps from an empty file to what this program knows, in order. A step is never changed once
/// it was released: another one is added.
const STEPS: [&str; 1] = ["
    CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
    INSERT INTO head VALUES (1, 0);
    CREATE TABLE leases (id INTEGER PRIMARY KEY AUTOINCREMENT, milliseconds INTEGER NOT NULL) STRICT;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER,
        value BLOB NOT NULL
    ) STRICT;
    CREATE INDEX leased ON entries (lease) WHERE lease IS NOT NULL;
    CREATE TABLE reserve (id INTEGER PRIMARY KEY, room BLOB NOT NULL) STRICT;
"];

/// Pages of this many bytes.
pub(super) const PAGE: u64 = 4096;

/// Opens the writer's connection, looks whether the file is whole, and brings it up to date.
pub(super) fn open_writer(files: &Files) -> Result<Connection, OpenError> {
    let path = files.path();
    let tell = |error| told(path, error);
    let connection = connect(path).map_err(tell)?;
    let version: i32 = number(&connection, "user_version").map_err(tell)?;
    let application: i32 = number(&connection, "application_id").map_err(tell)?;
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    if version > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known,
        });
    }
    // A first start that was cut off may have left a file with nothing in it.
    let fresh = version == 0 && application == 0 && is_empty(&connection).map_err(tell)?;
    if !fresh {
        if application != APPLICATION {
            return Err(OpenError::Foreign {
                path: path.to_owned(),
            });
        }
        whole(&connection, path)?;
    }
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL;"
        ))
        .map_err(tell)?;
    migrate(&connection, version).map_err(tell)?;
    files.keep_log().map_err(|source| match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => OpenError::Full {
            path: path.to_owned(),
        },
        _ => OpenError::Directory {
            path: path.to_owned(),
            source,
        },
    })?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path).map_err(|error| told(path, error))?;
    let set = connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -1024;");
    set.map_err(|error| told(path, error))?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // FULL: a commit is on disk before it is answered. Nothing goes to temporary files, which would
    // need room elsewhere. The log is written back by the writer, after it has answered.
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -4096;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {LOG};
         PRAGMA trusted_schema = OFF;"
    ))?;
    Ok(connection)
}

fn whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found.map_err(|error| told(path, error))?.as_str() {
        "ok" => Ok(()),
        what => Err(OpenError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
        }),
    }
}

fn is_empty(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
}

fn migrate(connection: &Connection, version: i32) -> Result<(), rusqlite::Error> {
    for (number, step) in (1_i32..).zip(STEPS) {
        if number > version {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 {step}
                 PRAGMA application_id = {APPLICATION};
                 PRAGMA user_version = {number};
                 COMMIT;"
            ))?;
        }
    }
    Ok(())
}

/// A number of the file, by the name of its pragma.
pub(super) fn number<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA {name}"))?;
    statement.query_row([], |row| row.get(0))
}

/// The newest revision.
pub(super) fn revision(connection: &Connection) -> Result<Revision, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT revision FROM head")?;
    statement.query_row([], |row| {
        Ok(Revision(row.get::<_, i64>(0)?.cast_unsigned()))
    })
}

/// An error of SQLite while a store is opened, in our words.
pub(super) fn told(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged {
            path,
            what: error.to_string(),
        },
        Some(ErrorCode::DiskFull) => OpenError::Full { path },
        _ => OpenError::Failed {
            path,
            source: error,
        },
    }
}
