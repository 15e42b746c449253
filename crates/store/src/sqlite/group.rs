//! One commit for all who wait: one wait for the disk, and each has its answer after it.

use super::apply::{self, ApplyError};
use super::room::{Room, RoomError};
use super::writer::Job;
use crate::entry::{LeaseId, Revision};
use crate::history::Publisher;
use crate::store::StoreError;
use crate::transaction::Outcome;
use crate::watch::{Batch, Change};
use rusqlite::{Connection, ErrorCode};
use std::time::Duration;

/// Why a commit was not made.
#[derive(Debug)]
pub(super) enum GroupError {
    /// The disk is full. Nothing was changed.
    Full,
    /// Somebody else holds the file.
    Busy,
    /// Something failed before anything was on its way to the disk.
    Failed(String),
    /// It failed on its way to the disk.
    Broken(String),
}

impl From<rusqlite::Error> for GroupError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<RoomError> for GroupError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::File(error) => error.into(),
            RoomError::Grow(_) => Self::Failed(error.to_string()),
        }
    }
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Done {
    /// A transaction.
    Outcome(Outcome),
    /// A new lease with its time.
    Granted(LeaseId, Duration),
    /// A lease that ended.
    Ended(LeaseId),
    /// It changes nothing on disk, or was refused.
    Refused(StoreError),
}

/// A commit that is on disk.
#[derive(Debug)]
pub(super) struct Written {
    /// What became of each job, in their order.
    pub(super) done: Vec<Done>,
    /// What changed, by revision.
    pub(super) batches: Vec<Batch>,
    /// Pages that it put into the log, by guess.
    pub(super) pages: usize,
}

/// Commits a group, which ends things only if `ends`.
pub(super) fn commit(
    connection: &Connection,
    room: &mut Room,
    jobs: &[&Job],
    now: Revision,
    ends: bool,
    publisher: &Publisher,
) -> Result<Written, GroupError> {
    if !ends && !room.for_begin(connection)? {
        return Err(GroupError::Full);
    }
    run(connection, "BEGIN IMMEDIATE")?;
    let written = fill(connection, room, jobs, now, ends);
    let written = written.and_then(|written| {
        // From here on a reader may find it, and watch from it, before it is told.
        if let Some(last) = written.batches.last() {
            publisher.announce(last.revision);
        }
        run(connection, "COMMIT")
            .map(|()| written)
            .map_err(|error| {
                // A full disk is found before anything counts; any other failure may have been on either side.
                match GroupError::from(error) {
                    GroupError::Failed(why) => GroupError::Broken(why),
                    other => other,
                }
            })
    });
    if !connection.is_autocommit() {
        run(connection, "ROLLBACK")?;
    }
    room.count(connection)?;
    written
}

fn fill(
    connection: &Connection,
    room: &mut Room,
    jobs: &[&Job],
    now: Revision,
    ends: bool,
) -> Result<Written, GroupError> {
    let roomy = !ends || room.for_end(connection)?;
    let mut written = Written {
        done: Vec::with_capacity(jobs.len()),
        batches: Vec::new(),
        pages: 2,
    };
    let mut revision = now;
    for job in jobs {
        if !roomy && job.puts() {
            written.done.push(Done::Refused(StoreError::Full));
            continue;
        }
        written.pages += job.pages();
        let (done, changes) = apply(connection, job, revision)?;
        written.done.push(done);
        if !changes.is_empty() {
            revision = Revision(revision.0 + 1);
            written.pages += changes.len();
            written.batches.push(Batch { revision, changes });
        }
    }
    if revision != now {
        let mut statement = connection.prepare_cached("UPDATE head SET revision = ?1")?;
        statement.execute([revision.0.cast_signed()])?;
    }
    Ok(written)
}

fn apply(
    connection: &Connection,
    job: &Job,
    now: Revision,
) -> Result<(Done, Vec<Change>), GroupError> {
    match job {
        Job::Transact(transaction, _) => match apply::transact(connection, transaction, now) {
            Ok((outcome, changes)) => Ok((Done::Outcome(outcome), changes)),
            Err(ApplyError::Refused(why)) => Ok((Done::Refused(why), Vec::new())),
            Err(ApplyError::File(error)) => Err(error.into()),
        },
        Job::Grant(time, _) => {
            let lease = apply::grant(connection, *time)?;
            Ok((Done::Granted(lease, *time), Vec::new()))
        }
        Job::End(lease, _) => Ok((Done::Ended(*lease), apply::end(connection, *lease)?)),
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
