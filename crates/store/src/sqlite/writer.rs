//! The only one who writes: takes what waits, commits it together, then answers.

use super::files::Files;
use super::group::{self, Done, GroupError, Written};
use super::lease::Leases;
use super::room::Room;
use crate::bounds;
use crate::clock::Clock;
use crate::entry::{LeaseId, Revision};
use crate::history::Publisher;
use crate::store::StoreError;
use crate::transaction::{Operation, Outcome, Transaction};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What is written.
pub(super) enum Job {
    /// A transaction.
    Transact(Transaction, Answer<Outcome>),
    /// A new lease.
    Grant(Duration, Answer<LeaseId>),
    /// The end of a lease: revoked by somebody, or its time has come.
    End(LeaseId, Option<Answer<()>>),
}

/// What the writer is asked.
pub(super) enum Order {
    /// To write.
    Write(Job),
    /// To keep a lease alive.
    Renew(LeaseId, Answer<()>),
    /// To look at the clock now, and end the leases whose time has come.
    Look(Answer<()>),
    /// To end, after all that waits.
    Close(oneshot::Sender<()>),
}

/// Pages in the log with which it is written back: half of its place on the disk.
const LOGGED: usize = 1000;

impl Job {
    fn ends(&self) -> bool {
        match self {
            Self::Transact(transaction, _) => transaction.may_use_reserve(),
            Self::Grant(..) => false,
            Self::End(..) => true,
        }
    }

    /// Whether it may make the store larger.
    pub(super) fn puts(&self) -> bool {
        let puts = |operation: &Operation| matches!(operation, Operation::Put { .. });
        match self {
            Self::Transact(transaction, _) => transaction
                .then
                .iter()
                .chain(&transaction.otherwise)
                .any(puts),
            Self::Grant(..) => true,
            Self::End(..) => false,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Transact(transaction, _) => transaction.bytes(),
            Self::Grant(..) | Self::End(..) => 0,
        }
    }

    /// Pages that it puts into the log, by guess: its bytes, and three of each tree.
    pub(super) fn pages(&self) -> usize {
        4 + self.bytes() / 2048
    }

    fn answer(self, done: Done) {
        // Who no longer waits needs no answer.
        match (self, done) {
            (Self::Transact(_, answer), Done::Outcome(outcome)) => drop(answer.send(Ok(outcome))),
            (Self::Grant(_, answer), Done::Granted(lease, _)) => drop(answer.send(Ok(lease))),
            (Self::End(_, Some(answer)), Done::Ended(_)) => drop(answer.send(Ok(()))),
            (job, Done::Refused(why)) => job.refuse(why),
            _ => {}
        }
    }

    fn refuse(self, why: StoreError) {
        match self {
            Self::Transact(_, answer) => drop(answer.send(Err(why))),
            Self::Grant(_, answer) => drop(answer.send(Err(why))),
            Self::End(_, Some(answer)) => drop(answer.send(Err(why))),
            Self::End(lease, None) => tracing::warn!(%lease, %why, "a lease did not end in time"),
        }
    }
}

/// The writer.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) files: Arc<Files>,
    pub(super) room: Room,
    pub(super) leases: Leases,
    pub(super) publisher: Publisher,
    pub(super) revision: Revision,
    pub(super) clock: Arc<dyn Clock>,
    /// Pages in the log, by guess.
    pub(super) logged: usize,
    /// Why nothing is written any more.
    pub(super) broken: Option<String>,
}

/// How long the end of a lease waits after it failed.
const END_AGAIN: Duration = Duration::from_secs(1);

impl Writer {
    /// Writes until it is told to end or nobody can ask any more.
    pub(super) fn work(mut self, mut orders: mpsc::Receiver<Order>, timer: &Runtime) {
        let mut closing = None;
        loop {
            let mut group = Group::default();
            match timer.block_on(self.next(&mut orders)) {
                Next::Order(order) => self.sort(order, &mut group),
                Next::Time => {}
                Next::Nothing => break,
            }
            while group.has_room()
                && let Ok(order) = orders.try_recv()
            {
                self.sort(order, &mut group);
            }
            if self.broken.is_none() {
                let due = self.leases.due(self.clock.now()).into_iter();
                group.jobs.extend(due.map(|lease| Job::End(lease, None)));
            }
            self.write(group.jobs);
            for look in group.looks {
                let _ = look.send(Ok(()));
            }
            if group.closing.is_some() {
                // What was sent before is still written; nothing more can be sent.
                orders.close();
                closing = group.closing;
            }
            if self.logged >= LOGGED {
                self.write_back();
            }
        }
        self.end();
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }

    /// Waits for an order, or for the end of a lease.
    async fn next(&self, orders: &mut mpsc::Receiver<Order>) -> Next {
        let end = self.leases.next();
        let order = match end.filter(|_| self.broken.is_none()) {
            None => orders.recv().await,
            Some(end) => {
                let rest = end.saturating_duration_since(self.clock.now());
                match tokio::time::timeout(rest, orders.recv()).await {
                    Ok(order) => order,
                    Err(_) => return Next::Time,
                }
            }
        };
        order.map_or(Next::Nothing, Next::Order)
    }

    fn sort(&mut self, order: Order, group: &mut Group) {
        match order {
            Order::Write(Job::End(lease, Some(answer))) if !self.leases.contains(lease) => {
                let _ = answer.send(Err(StoreError::NoLease(lease)));
            }
            Order::Write(job) => {
                group.bytes += job.bytes();
                group.jobs.push(job);
            }
            Order::Renew(lease, answer) => {
                let renewed = self.leases.renew(lease, self.clock.now());
                let _ = answer.send(match renewed {
                    true => Ok(()),
                    false => Err(StoreError::NoLease(lease)),
                });
            }
            Order::Look(answer) => group.looks.push(answer),
            Order::Close(done) => group.closing = Some(done),
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        if let Some(why) = &self.broken {
            let why = StoreError::Broken(why.clone());
            return self.refuse(jobs, &why);
        }
        let ends = jobs.iter().all(Job::ends);
        let of: Vec<&Job> = jobs.iter().collect();
        let (room, now) = (&mut self.room, self.revision);
        match group::commit(&self.connection, room, &of, now, ends, &self.publisher) {
            Ok(written) => self.tell(jobs, written),
            Err(GroupError::Full) if !ends => {
                let (ends, begins) = jobs.into_iter().partition(Job::ends);
                self.refuse(begins, &StoreError::Full);
                self.write(ends);
            }
            Err(GroupError::Full) => self.refuse(jobs, &StoreError::Full),
            Err(GroupError::Busy) => {
                let why = "another program holds its file locked: end that one".to_owned();
                self.refuse(jobs, &StoreError::Failed(why));
            }
            // One of them may be what cannot be written: the others need not fail with it.
            Err(GroupError::Failed(_)) if jobs.len() > 1 => {
                for job in jobs {
                    self.write(vec![job]);
                }
            }
            Err(GroupError::Failed(why)) => self.refuse(jobs, &StoreError::Failed(why)),
            Err(GroupError::Broken(why)) => {
                tracing::error!(%why, "the store takes no more writes");
                self.refuse(jobs, &StoreError::Broken(why.clone()));
                self.broken = Some(why);
            }
        }
    }

    /// Tells the world what is on disk: who watches first, so that nobody who has an answer is
    /// ahead of the changes.
    fn tell(&mut self, jobs: Vec<Job>, written: Written) {
        if let Some(last) = written.batches.last() {
            self.revision = last.revision;
        }
        self.logged += written.pages;
        self.publisher.publish(written.batches);
        for (job, done) in jobs.into_iter().zip(written.done) {
            match &done {
                Done::Granted(lease, time) => self.leases.add(*lease, *time, self.clock.now()),
                Done::Ended(lease) => self.leases.remove(*lease),
                Done::Outcome(_) | Done::Refused(_) => {}
            }
            job.answer(done);
        }
    }

    fn refuse(&mut self, jobs: Vec<Job>, why: &StoreError) {
        for job in jobs {
            if let Job::End(lease, None) = job {
                self.leases.delay(lease, self.clock.now() + END_AGAIN);
            }
            job.refuse(why.clone());
        }
    }

    fn write_back(&mut self) {
        self.logged = match self.room.write_back(&self.connection) {
            Ok(true) => 0,
            // A reader looks at an older state: soon again.
            Ok(false) => LOGGED - LOGGED / 16,
            Err(error) => {
                tracing::warn!(%error, "the store's log was not written back; it grows meanwhile");
                LOGGED - LOGGED / 16
            }
        };
    }

    /// Leaves a file that is whole without its log.
    fn end(self) {
        let back = self
            .connection
            .query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()));
        if let Err(error) = back {
            tracing::warn!(%error, "the store's log was not written back; the next start does it");
        }
        if let Err(error) = self.files.keep_log_closed() {
            tracing::debug!(%error, "the log's place on the disk is not kept");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

/// What the writer woke up for.
enum Next {
    Order(Order),
    Time,
    Nothing,
}

/// What is done with one commit, and after it.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    bytes: usize,
    looks: Vec<Answer<()>>,
    closing: Option<oneshot::Sender<()>>,
}

impl Group {
    fn has_room(&self) -> bool {
        self.jobs.len() < bounds::GROUP
            && self.bytes < bounds::GROUP_BYTES
            && self.closing.is_none()
    }
}
