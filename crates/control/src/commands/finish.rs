//! Keeping the ends of commands: their output goes to disk, their records into the store, several
//! at once; then nobody else needs to remember them.

use super::archive::Archive;
use super::book::{Book, Books};
use super::running::Running;
use soulbox_model::{CommandId, CommandRecord, SandboxId};
use soulbox_settings::Commands as Settings;
use soulbox_wire::commands::Request;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};

/// Ends that share a transaction: each takes two of its operations, and one or two more are
/// forgotten for it.
const AT_ONCE: usize = 32;

/// What is to be done.
pub(crate) enum Finished {
    /// Keep the end of a command.
    Command(Arc<Book>, Arc<Running>),
    /// Forget how much there is of a sandbox, which has ended.
    Sandbox(SandboxId),
    /// Say when all that came before is done.
    Settled(oneshot::Sender<()>),
}

/// The ended commands of a sandbox that are kept, with the bytes of their output, the oldest first.
#[derive(Default)]
struct Shelf {
    ended: VecDeque<(CommandId, u64)>,
    bytes: u64,
}

/// Keeps ends until the server does not need them any more.
pub(crate) struct Finisher {
    archive: Archive,
    settings: Settings,
    /// Not kept alive: they hold the way to here, which ends with them.
    books: Weak<Books>,
    shelves: HashMap<SandboxId, Shelf>,
}

impl Finisher {
    pub(crate) fn new(archive: Archive, settings: Settings, books: &Arc<Books>) -> Self {
        Self {
            archive,
            settings,
            books: Arc::downgrade(books),
            shelves: HashMap::new(),
        }
    }

    pub(crate) async fn run(mut self, mut finished: mpsc::UnboundedReceiver<Finished>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while finished.recv_many(&mut batch, AT_ONCE).await > 0 {
            let mut ends = Vec::new();
            let mut after = Vec::new();
            for one in batch.drain(..) {
                match one {
                    Finished::Command(book, command) => ends.push((book, command)),
                    other => after.push(other),
                }
            }
            self.keep(ends).await;
            for one in after {
                match one {
                    Finished::Sandbox(sandbox) => drop(self.shelves.remove(&sandbox)),
                    Finished::Settled(done) => drop(done.send(())),
                    Finished::Command(..) => {}
                }
            }
        }
    }

    async fn keep(&mut self, ends: Vec<(Arc<Book>, Arc<Running>)>) {
        if ends.is_empty() {
            return;
        }
        let records = self.store_outputs(&ends).await;
        let forgotten = self.shelve(&records).await;
        if let Err(error) = self.archive.end(&records, &forgotten).await {
            // They stay in their books, and the agent remembers them.
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the ends of commands were not recorded");
            return;
        }
        for (sandbox, id) in &forgotten {
            self.archive.remove_output(sandbox, id);
        }
        for ((book, command), record) in ends.iter().zip(&records) {
            command.let_go_of_output(record);
            let books = self.books.upgrade();
            if books.is_some_and(|books| books.remove(book, &command.id)) {
                self.shelves.remove(&book.sandbox);
                continue;
            }
            if let Some(link) = book.open_link().await {
                let id = command.id.to_string();
                // If it does not arrive, the next connection brings it up again.
                let _ = link.sender.send(&Request::Forget { id }, None).await;
            }
        }
    }

    /// Puts what they wrote on disk.
    async fn store_outputs(&self, ends: &[(Arc<Book>, Arc<Running>)]) -> Vec<CommandRecord> {
        let mut records: Vec<_> = ends
            .iter()
            .map(|(_, command)| (command.record(), command.output()))
            .collect();
        let is_empty = |record: &CommandRecord| record.stdout.kept + record.stderr.kept == 0;
        if records.iter().all(|(record, _)| is_empty(record)) {
            return records.into_iter().map(|(record, _)| record).collect();
        }
        let archive = self.archive.clone();
        let fallback = records.clone();
        let copied = tokio::task::spawn_blocking(move || {
            for (record, output) in &mut records {
                if let Some(output) = output
                    && let Err(error) = archive.store_output(record, output)
                {
                    tracing::error!(command = %record.id, %error, "output was not kept");
                    record.stdout.kept = 0;
                    record.stderr.kept = 0;
                }
            }
            records
        });
        let records = copied.await.unwrap_or(fallback);
        records.into_iter().map(|(record, _)| record).collect()
    }

    /// Counts them, and says which older ones are forgotten for them.
    async fn shelve(&mut self, records: &[CommandRecord]) -> Vec<(SandboxId, CommandId)> {
        let mut forgotten = Vec::new();
        for record in records {
            let sandbox = &record.sandbox;
            if !self.shelves.contains_key(sandbox) {
                let shelf = self.count(sandbox).await;
                self.shelves.insert(sandbox.clone(), shelf);
            }
            let Some(shelf) = self.shelves.get_mut(sandbox) else {
                continue;
            };
            shelf.push(&record.id, record.stdout.kept + record.stderr.kept);
            // At most two for one: a transaction has its bounds, and they come back to it.
            for _ in 0..2 {
                if shelf.ended.len() > self.settings.kept as usize
                    || (shelf.bytes > self.settings.kept_output.bytes() && shelf.ended.len() > 1)
                {
                    let oldest = shelf.pop().map(|id| (sandbox.clone(), id));
                    let is_here = |id: &CommandId| records.iter().any(|record| record.id == *id);
                    forgotten.extend(oldest.filter(|(_, id)| !is_here(id)));
                }
            }
        }
        forgotten
    }

    /// Those that were kept by an earlier server.
    async fn count(&self, sandbox: &SandboxId) -> Shelf {
        let mut shelf = Shelf::default();
        for record in self.archive.ended(sandbox).await.unwrap_or_default() {
            shelf.push(&record.id, record.stdout.kept + record.stderr.kept);
        }
        shelf
    }
}

impl Shelf {
    fn push(&mut self, id: &CommandId, bytes: u64) {
        self.ended.push_back((id.clone(), bytes));
        self.bytes += bytes;
    }

    fn pop(&mut self) -> Option<CommandId> {
        let (id, bytes) = self.ended.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(id)
    }
}
