//! Room on the disk, so that a full one stops what begins and never what ends.
//!
//! Three things are taken from the disk before they are needed, and nobody can take them back:
//!
//! * the log's place (`files`);
//! * the pages that the next commit may add to the file: taken before each commit that begins
//!   something, which is refused if there are none. So the log can always be written back;
//! * the reserve: a table of empty blobs inside the file, of which one is removed whenever what ends
//!   something needs pages and the disk has none.

use super::files::Files;
use super::schema::{PAGE, number};
use rusqlite::Connection;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why room was not found.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoomError {
    #[error(transparent)]
    File(#[from] rusqlite::Error),
    #[error("the store's file cannot be made larger: {0}")]
    Grow(#[from] io::Error),
}

/// Bytes that one commit may add to the file: twice what a group of transactions may hold.
const COMMIT: u64 = 4 * 1024 * 1024;

/// Bytes of a part of the reserve.
const PART: u64 = 1024 * 1024;

/// Free pages with which a commit that only ends things needs no part of the reserve.
const ENOUGH: u64 = PART / PAGE / 2;

/// How long a full disk is believed to be still full.
const AGAIN: Duration = Duration::from_millis(100);

/// What is known of the room.
#[derive(Debug)]
pub(super) struct Room {
    files: Arc<Files>,
    /// Bytes that the file has on the disk, at least.
    taken: u64,
    /// Parts that the reserve should have.
    whole: u64,
    /// Parts that it has.
    parts: u64,
    /// When the disk was last found full.
    full: Option<Instant>,
}

impl Room {
    /// Looks at the file, and fills the reserve as far as the disk allows.
    pub(super) fn begin(
        files: Arc<Files>,
        connection: &Connection,
        reserve: u64,
    ) -> Result<Self, RoomError> {
        let parts: i64 =
            connection.query_row("SELECT count(*) FROM reserve", [], |row| row.get(0))?;
        let mut room = Self {
            files,
            taken: 0,
            whole: reserve.div_ceil(PART).max(1),
            parts: parts.cast_unsigned(),
            full: None,
        };
        while room.fill(connection)? {
            room.write_back(connection)?;
        }
        Ok(room)
    }

    /// Before a commit that begins something: whether the disk has room for it.
    pub(super) fn for_begin(&mut self, connection: &Connection) -> Result<bool, RoomError> {
        if !self.take(connection, COMMIT)? && free(connection)? < COMMIT / PAGE {
            return Ok(false);
        }
        while self.fill(connection)? {}
        Ok(self.parts >= self.whole)
    }

    /// Within a commit that only ends things: gives it a part of the reserve if it needs one.
    /// `false` if there is no room left for more than removing.
    pub(super) fn for_end(&mut self, connection: &Connection) -> Result<bool, RoomError> {
        if self.take(connection, COMMIT)? || free(connection)? >= ENOUGH {
            return Ok(true);
        }
        let removed = connection.execute(
            "DELETE FROM reserve WHERE id = (SELECT max(id) FROM reserve)",
            [],
        )?;
        Ok(removed > 0)
    }

    /// After a commit: counts the reserve again.
    pub(super) fn count(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare_cached("SELECT count(*) FROM reserve")?;
        let parts: i64 = statement.query_row([], |row| row.get(0))?;
        self.parts = parts.cast_unsigned();
        Ok(())
    }

    /// Writes the log back into the file; `false` if a reader was in the way of some of it.
    pub(super) fn write_back(&mut self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        // SQLite then cuts off what the file has beyond its last page.
        self.taken = 0;
        let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
        let (logged, written): (i64, i64) =
            statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
        Ok(logged == written)
    }

    /// Adds a part to the reserve; `false` if it is whole or the disk is full.
    fn fill(&mut self, connection: &Connection) -> Result<bool, RoomError> {
        if self.parts >= self.whole || !self.take(connection, COMMIT)? {
            return Ok(false);
        }
        let mut statement =
            connection.prepare_cached("INSERT INTO reserve (room) VALUES (zeroblob(?1))")?;
        statement.execute([PART.cast_signed()])?;
        self.parts += 1;
        Ok(true)
    }

    /// Makes sure that the file has so many bytes more than it uses.
    fn take(&mut self, connection: &Connection, more: u64) -> Result<bool, RoomError> {
        let pages: i64 = number(connection, "page_count")?;
        let needed = pages.cast_unsigned() * PAGE + more;
        if self.taken >= needed {
            return Ok(true);
        }
        if self.full.is_some_and(|full| full.elapsed() < AGAIN) {
            return Ok(false);
        }
        // More than is needed, so that not every commit asks.
        let found = match self.files.grow(needed + more)? {
            true => Some(needed + more),
            false => self.files.grow(needed)?.then_some(needed),
        };
        self.taken = found.unwrap_or(self.taken);
        let found = found.is_some();
        if found != self.full.is_none() {
            match found {
                true => tracing::info!("the disk of the store has room again"),
                false => tracing::warn!("the disk of the store is full: only ends are taken"),
            }
        }
        self.full = (!found).then(Instant::now);
        Ok(found)
    }
}

fn free(connection: &Connection) -> Result<u64, rusqlite::Error> {
    Ok(number::<i64>(connection, "freelist_count")?.cast_unsigned())
}
