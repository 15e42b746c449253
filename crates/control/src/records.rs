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
//! Commands, idempotency keys, arrivals and what runs used lie beside them: see `commands::archive`,
//! `idempotency`, `arrivals`, `run::adaptive`.

use crate::error::ControlError;
use crate::hub::{Happened, Hub};
use crate::idempotency::Held;
use crate::keys::KeyRecord;
use crate::metrics::Metrics;
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_model::{Event, SandboxId, SandboxRecord, TeamId};
use soulbox_store::{Operation, Range, Span, StateStore, StoreError, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The most events of one sandbox that are told: the latest.
const MOST_EVENTS: usize = 10_000;
/// The most pages of ended sandboxes that are looked through for those of a team.
const MOST_PAGES: usize = 10;

/// What lasts.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn StateStore>,
    numbers: Arc<AtomicU64>,
    hub: Arc<Hub>,
    metrics: Metrics,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            numbers: Arc::default(),
            hub: Arc::default(),
            metrics: Metrics::default(),
        }
    }

    /// Where it lasts.
    pub(crate) fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// Does several things at once.
    pub(crate) async fn transact_all(&self, operations: Vec<Operation>) -> Result<(), StoreError> {
        self.transact(Transaction::doing(operations)).await
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where what happens is told, once it is kept.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Keeps a new sandbox, and with it, at once or not at all, the key of the request that asked
    /// for it. That is told by the caller once the sandbox is there.
    pub(crate) async fn create(
        &self,
        record: &SandboxRecord,
        event: &Event,
        held: Option<&Held>,
    ) -> Result<Happened, ControlError> {
        let happened = self.happened(&record.team, &record.id, event);
        let mut transaction = changed(record, &happened, event);
        if let Some(held) = held {
            transaction = held.guard(transaction);
        }
        let began = Instant::now();
        let outcome = self.store.transact(transaction).await?;
        self.metrics.committed(began.elapsed());
        match outcome.committed() {
            Some(_) => Ok(happened),
            None => Err(ControlError::KeyTaken),
        }
    }

    /// Names what happened to a sandbox, for those who are to be told; nothing is kept.
    pub(crate) fn told(&self, record: &SandboxRecord, event: &Event) -> Happened {
        self.happened(&record.team, &record.id, event)
    }

    /// Keeps a changed sandbox and what happened to it.
    pub(crate) async fn change(
        &self,
        record: &SandboxRecord,
        event: &Event,
    ) -> Result<(), StoreError> {
        let happened = self.happened(&record.team, &record.id, event);
        self.transact(changed(record, &happened, event)).await?;
        self.hub.tell(happened);
        Ok(())
    }

    /// Keeps something that happened to a sandbox.
    pub(crate) async fn note(
        &self,
        team: &TeamId,
        id: &SandboxId,
        event: &Event,
    ) -> Result<(), StoreError> {
        let happened = self.happened(team, id, event);
        let put = Operation::put(event_key(&happened), json(event));
        self.transact(Transaction::doing(vec![put])).await?;
        self.hub.tell(happened);
        Ok(())
    }

    /// Keeps the end of a sandbox, and with it that it was created where that was not kept before.
    pub(crate) async fn end(
        &self,
        record: &SandboxRecord,
        created: Option<Happened>,
        event: &Event,
    ) -> Result<(), StoreError> {
        let id = &record.id;
        let happened = self.happened(&record.team, id, event);
        let order = format!("sandbox/end/{:015}/{id}", event.at.as_millis());
        let mut operations = vec![
            Operation::delete(live_key(id)),
            Operation::put(ended_key(id), json(record)),
            Operation::put(order, Vec::new()),
            Operation::put(event_key(&happened), json(event)),
        ];
        let created = created.map(|created| (event_key(&created), created.event));
        operations.extend(created.map(|(key, event)| Operation::put(key, json(&event))));
        let transaction = Transaction::doing(operations);
        let kept = self.transact(transaction.ending()).await;
        // It has ended, whether that could be kept or not.
        if let Some(cause) = event.cause {
            self.metrics.ended(cause);
        }
        self.hub.tell(happened);
        kept
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
        self.transact(Transaction::doing(operations)).await
    }

    /// All sandboxes that lived when they were last heard of.
    pub(crate) async fn live(&self) -> Result<Vec<SandboxRecord>, StoreError> {
        self.values("sandbox/live/").await
    }

    pub(crate) async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.values("key/").await
    }

    pub(crate) async fn put_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let put = Operation::put(key_key(key), json(key));
        self.transact(Transaction::doing(vec![put])).await
    }

    pub(crate) async fn remove_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let delete = Operation::delete(key_key(key));
        self.transact(Transaction::doing(vec![delete])).await
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
    ) -> Result<Vec<Happened>, ControlError> {
        self.sandbox(team, id).await?;
        let prefix = format!("event/{id}/");
        let mut events: Vec<(String, Event)> = self.all(&prefix).await?;
        let surplus = events.len().saturating_sub(MOST_EVENTS);
        events.drain(..surplus);
        let happened = |(key, event): (String, Event)| Happened {
            id: key.replace(&prefix, "").replace('/', "-"),
            team: team.clone(),
            sandbox: id.clone(),
            event,
        };
        Ok(events.into_iter().map(happened).collect())
    }

    /// Those of a team that ended last, the newest first.
    pub(crate) async fn ended(
        &self,
        team: &TeamId,
        limit: usize,
    ) -> Result<Vec<SandboxRecord>, StoreError> {
        let mut range = Range::prefix("sandbox/end/").descending();
        let mut ended = Vec::new();
        // Of what other teams left, so much is looked at and no more.
        for _ in 0..MOST_PAGES {
            let page = self.store.range(range.clone()).await?;
            for entry in &page.entries {
                if ended.len() == limit {
                    return Ok(ended);
                }
                let key = format!("sandbox/ended/{}", id_of(&entry.key));
                let found = self.store.get(&key).await?;
                let record = found.and_then(|found| read_value(&key, &found.value));
                ended.extend(record.filter(|record: &SandboxRecord| record.team == *team));
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => break,
            }
        }
        Ok(ended)
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
        let id = id_of(order);
        let transaction = Transaction::doing(vec![
            Operation::delete(order),
            Operation::delete(format!("sandbox/ended/{id}")),
            Operation::DeleteRange(Span::prefix(format!("event/{id}/"))),
        ]);
        self.transact(transaction).await
    }

    pub(crate) async fn values<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<T>, StoreError> {
        let all = self.all(prefix).await?;
        Ok(all.into_iter().map(|(_, value)| value).collect())
    }

    /// What is behind a prefix in all keys that have it.
    pub(crate) async fn keys_below(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut range = Range::prefix(prefix);
        loop {
            let page = self.store.range(range.clone()).await?;
            let behind = page.entries.iter();
            keys.extend(
                behind.filter_map(|entry| entry.key.strip_prefix(prefix).map(str::to_owned)),
            );
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => return Ok(keys),
            }
        }
    }

    /// All values below a prefix with their keys, in the order of these.
    async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, StoreError> {
        let mut values = Vec::new();
        let mut range = Range::prefix(prefix);
        loop {
            let page = self.store.range(range.clone()).await?;
            let read = page.entries.iter();
            values.extend(read.filter_map(|entry| {
                let value = read_value(&entry.key, &entry.value)?;
                Some((entry.key.clone(), value))
            }));
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => return Ok(values),
            }
        }
    }

    async fn transact(&self, transaction: Transaction) -> Result<(), StoreError> {
        let began = Instant::now();
        let done = self.store.transact(transaction).await;
        self.metrics.committed(began.elapsed());
        done.map(drop)
    }

    /// Names what happened. Events of one moment keep their order by a number.
    fn happened(&self, team: &TeamId, id: &SandboxId, event: &Event) -> Happened {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Happened {
            id: format!("{:015}-{number:012}", event.at.as_millis()),
            team: team.clone(),
            sandbox: id.clone(),
            event: event.clone(),
        }
    }
}

fn event_key(happened: &Happened) -> String {
    let Happened { id, sandbox, .. } = happened;
    format!("event/{sandbox}/{}", id.replace('-', "/"))
}

/// The id at the end of a key.
fn id_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

/// Keeps a sandbox as it is now, and what happened to it.
fn changed(record: &SandboxRecord, happened: &Happened, event: &Event) -> Transaction {
    Transaction::doing(vec![
        Operation::put(live_key(&record.id), json(record)),
        Operation::put(event_key(happened), json(event)),
    ])
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
