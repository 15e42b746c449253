//! A copy of the store while it is in use.

use super::schema::PAGE;
use crate::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there, and a backup must not take its place.
    #[error("there is something at {0} already: name a file that does not exist")]
    Exists(String),
    /// The file cannot be written.
    #[error("the backup {path} cannot be written: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// SQLite says why.
    #[error("the backup {path} failed: {source}")]
    Copy {
        /// The file.
        path: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// The store was closed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies one state of the store into a new file, which is on disk when this returns. A copy that
/// fails leaves no file.
pub(super) fn backup(connection: &Connection, path: &Path) -> Result<(), BackupError> {
    let name = || path.display().to_string();
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(name()),
        _ => BackupError::Write {
            path: name(),
            source,
        },
    })?;
    let copied = copy(connection, path).map_err(|source| BackupError::Copy {
        path: name(),
        source,
    });
    let copied = copied.and_then(|()| {
        keep(path).map_err(|source| BackupError::Write {
            path: name(),
            source,
        })
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(path);
    }
    copied
}

fn copy(connection: &Connection, path: &Path) -> Result<(), rusqlite::Error> {
    let mut to = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    to.execute_batch(&format!("PRAGMA page_size = {PAGE};"))?;
    {
        let backup = Backup::new(connection, &mut to)?;
        // All at once is one state; in steps, each write in between would begin it anew.
        match backup.step(-1)? {
            StepResult::Done => {}
            _ => return Err(rusqlite::Error::ExecuteReturnedResults),
        }
    }
    // The copy is one file, without a log beside it, until a store opens it.
    to.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    to.close().map_err(|(_, error)| error)
}

fn keep(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let directory = std::path::absolute(path)?;
    directory
        .parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
