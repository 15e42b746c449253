//! What lasts: records of sandboxes, what happened to them, keys.
//!
//! | Key | Value |
//! |---|---|
//! | `sandbox/live/<id>` | the record of a sandbox that lives |
//! | `sandbox/ended/<id>` | the record of one that ended |
//! | `sandbox/end/<time>/<id>` | nothing: orders the ended ones by time, so that the oldest are found |
//! | `event/<id>/<time>/<number>` | what happened to a sandbox |
//! | `key/<hash>` | a key of the programming interface |
//!
//! Commands and idempotency keys lie beside them: see `commands::archive`, `idempotency`.

use crate::error::ControlError;
use crate::idempotency::Held;
use crate::keys::KeyRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_model::{Event, SandboxId, SandboxRecord, TeamId};
use soulbox_store::{Operation, Range, Span, StateStore, StoreError, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most events of one sandbox that are told: the latest.
const MOST_EVENTS: usize = 10_000;

/// What lasts.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn StateStore>,
    numbers: Arc<AtomicU64>,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            numbers: Arc::default(),
        }
    }

    /// Keeps a new sandbox, and with it, at once or not at all, the key of the request that asked
    /// for it.
    pub(crate) async fn create(
        &self,
        record: &SandboxRecord,
        event: &Event,
        held: Option<&Held>,
    ) -> Result<(), ControlError> {
        let mut transaction = self.changed(record, event);
        if let Some(held) = held {
            transaction = held.guard(transaction);
        }
        match self.store.transact(transaction).await?.committed() {
            Some(_) => Ok(()),
            None => Err(ControlError::KeyTaken),
        }
    }

    /// Keeps a changed sandbox and what happened to it.
    pub(crate) async fn change(
        &self,
        record: &SandboxRecord,
        event: &Event,
    ) -> Result<(), StoreError> {
        let transaction = self.changed(record, event);
        self.store.transact(transaction).await.map(drop)
    }

    fn changed(&self, record: &SandboxRecord, event: &Event) -> Transaction {
        Transaction::doing(vec![
            Operation::put(live_key(&record.id), json(record)),
            Operation::put(self.event_key(&record.id, event), json(event)),
        ])
    }

    /// Keeps the end of a sandbox.
    pub(crate) async fn end(
        &self,
        record: &SandboxRecord,
        event: &Event,
    ) -> Result<(), StoreError> {
        let id = &record.id;
        let order = format!("sandbox/end/{:015}/{id}", event.at.as_millis());
        let transaction = Transaction::doing(vec![
            Operation::delete(live_key(id)),
            Operation::put(ended_key(id), json(record)),
            Operation::put(order, Vec::new()),
            Operation::put(self.event_key(id, event), json(event)),
        ]);
        self.store.transact(transaction.ending()).await.map(drop)
    }

    /// Forgets a sandbox that could not be made.
    pub(crate) async fn remove(
        &self,
        record: &SandboxRecord,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let events = Span::prefix(format!("event/{}/", record.id));
        let mut operations = vec![
            Operation::delete(live_key(&record.id)),
            Operation::DeleteRange(events),
        ];
        operations.extend(held.map(|held| Operation::delete(held.key())));
        let transaction = Transaction::doing(operations);
        self.store.transact(transaction).await.map(drop)
    }

    /// All sandboxes that lived when they were last heard of.
    pub(crate) async fn live(&self) -> Result<Vec<SandboxRecord>, StoreError> {
        self.all("sandbox/live/").await
    }

    pub(crate) async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.all("key/").await
    }

    pub(crate) async fn put_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let put = Operation::put(key_key(key), json(key));
        self.store
            .transact(Transaction::doing(vec![put]))
            .await
            .map(drop)
    }

    pub(crate) async fn remove_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let delete = Operation::delete(key_key(key));
        self.store
            .transact(Transaction::doing(vec![delete]))
            .await
            .map(drop)
    }

    /// The record of a sandbox of a team, whether it lives or has ended.
    ///
    /// # Errors
    /// [`ControlError::NoSandbox`], and as the store.
    pub async fn sandbox(
        &self,
        team: &TeamId,
        id: &SandboxId,
    ) -> Result<SandboxRecord, ControlError> {
        for key in [live_key(id), ended_key(id)] {
            if let Some(entry) = self.store.get(&key).await?
                && let Some(record) = read_value::<SandboxRecord>(&key, &entry.value)
                && record.team == *team
            {
                return Ok(record);
            }
        }
        Err(ControlError::NoSandbox(id.to_string()))
    }

    /// What happened to a sandbox of a team, the oldest first.
    pub(crate) async fn events(
        &self,
        team: &TeamId,
        id: &SandboxId,
    ) -> Result<Vec<Event>, ControlError> {
        self.sandbox(team, id).await?;
        let mut events: Vec<Event> = self.all(&format!("event/{id}/")).await?;
        let surplus = events.len().saturating_sub(MOST_EVENTS);
        events.drain(..surplus);
        Ok(events)
    }

    /// Forgets the oldest of those that ended, so that `keep` stay; says how many were forgotten.
    pub(crate) async fn prune(&self, keep: usize) -> Result<usize, StoreError> {
        let mut ended = 0;
        let mut range = Range::prefix("sandbox/end/").descending();
        let mut forgotten = 0;
        loop {
            let page = self.store.range(range.clone()).await?;
            for entry in &page.entries {
                ended += 1;
                if ended > keep {
                    self.forget(&entry.key).await?;
                    forgotten += 1;
                }
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => return Ok(forgotten),
            }
        }
    }

    /// Forgets a sandbox that ended, by its key in the order of ends.
    async fn forget(&self, order: &str) -> Result<(), StoreError> {
        let id = order.rsplit('/').next().unwrap_or_default();
        let transaction = Transaction::doing(vec![
            Operation::delete(order),
            Operation::delete(format!("sandbox/ended/{id}")),
            Operation::DeleteRange(Span::prefix(format!("event/{id}/"))),
        ]);
        self.store.transact(transaction).await.map(drop)
    }

    /// All values below a prefix, in the order of their keys.
    async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, StoreError> {
        let mut values = Vec::new();
        let mut range = Range::prefix(prefix);
        loop {
            let page = self.store.range(range.clone()).await?;
            let read = page.entries.iter();
            values.extend(read.filter_map(|entry| read_value(&entry.key, &entry.value)));
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => return Ok(values),
            }
        }
    }

    /// Events of one moment keep their order by a number.
    fn event_key(&self, id: &SandboxId, event: &Event) -> String {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("event/{id}/{:015}/{number:012}", event.at.as_millis())
    }
}

fn live_key(id: &SandboxId) -> String {
    format!("sandbox/live/{id}")
}

fn key_key(key: &KeyRecord) -> String {
    format!("key/{}", key.hash.as_str())
}

fn ended_key(id: &SandboxId) -> String {
    format!("sandbox/ended/{id}")
}

/// Records are plain data: they always can be written.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads a record. One that cannot be read was written by a newer version, or is damaged: it is told and left.
pub(crate) fn read_value<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    match serde_json::from_slice(value) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key, %error, "a record cannot be read; it is left as it is");
            None
        }
    }
}
