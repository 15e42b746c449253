//! Requests that may be repeated: the same key gives the first result again.
//!
//! A key belongs to a team and a route. What it stands for is kept in the same transaction as the
//! record that it guards, under `idempotency/<team>/<hash of route and key>`; so a record is there
//! if and only if its key is, whatever happens to the server. While the first request is worked on,
//! others with its key wait.

use crate::error::ControlError;
use crate::records::{json, read_value};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use soulbox_model::{CommandId, Moment, SandboxId, TeamId};
use soulbox_settings::Commands as Settings;
use soulbox_store::{
    Compare, Entry, Operation, Range, Revision, StateStore, StoreError, Transaction,
};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The longest key, in characters.
pub const LONGEST_KEY: usize = 255;

/// When to come again if there are too many keys.
const RETRY: Duration = Duration::from_secs(60);

/// By what a request is known when it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    key: String,
    route: String,
    body: String,
}

impl Once {
    /// A request with this key, to this route, with this body.
    ///
    /// # Errors
    /// The key is empty, too long, or has other than visible ASCII characters.
    pub fn new(key: &str, route: &str, body: &[u8]) -> Result<Self, ControlError> {
        let fits = (1..=LONGEST_KEY).contains(&key.len());
        if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ControlError::invalid(
                "Idempotency-Key",
                format!("it must have 1 to {LONGEST_KEY} visible ASCII characters"),
            ));
        }
        Ok(Self {
            key: key.to_owned(),
            route: route.to_owned(),
            body: hex(Sha256::new().chain_update(body)),
        })
    }

    fn place(&self, team: &TeamId) -> String {
        let named = Sha256::new()
            .chain_update(&self.route)
            .chain_update([0])
            .chain_update(&self.key);
        format!("{}{}", prefix(team), hex(named))
    }
}

fn prefix(team: &TeamId) -> String {
    format!("idempotency/{}/", team.as_str())
}

fn hex(hash: Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a request made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    /// A sandbox.
    Sandbox {
        /// Its id.
        sandbox: SandboxId,
    },
    /// A command.
    Command {
        /// Where it runs.
        sandbox: SandboxId,
        /// Its id.
        command: CommandId,
    },
    /// A run that is over, or not yet.
    Run {
        /// What was answered, if that is known and not too long.
        answer: Option<String>,
    },
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeyRecord {
    at: Moment,
    body: String,
    made: Made,
}

/// What became of a claim.
pub(crate) enum Claim {
    /// It is the first: do it.
    First(Pending),
    /// It was done already.
    Made(Made),
}

/// All keys of a server.
pub(crate) struct Idempotency {
    store: Arc<dyn StateStore>,
    kept: Duration,
    most: usize,
    /// Requests that are worked on, by the place of their key; each is told to when it is over.
    working: Mutex<HashMap<String, watch::Sender<()>>>,
    /// How many keys each team has.
    counts: Mutex<HashMap<TeamId, usize>>,
}

impl Idempotency {
    pub(crate) fn new(store: Arc<dyn StateStore>, settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            store,
            kept: settings.idempotency,
            most: settings.idempotency_keys as usize,
            working: Mutex::default(),
            counts: Mutex::default(),
        })
    }

    fn working(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<TeamId, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while another request with the same key is worked on, then tells what it made, or
    /// that there was none.
    ///
    /// # Errors
    /// [`ControlError::KeyReused`] if that one had another body; [`ControlError::Busy`] when the
    /// team has too many keys; as the store.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        team: &TeamId,
        once: Once,
    ) -> Result<Claim, ControlError> {
        let place = once.place(team);
        let working = loop {
            let mut over = match self.try_work(&place) {
                Ok(working) => break working,
                Err(over) => over,
            };
            // It ends when the sender is dropped.
            while over.changed().await.is_ok() {}
        };
        let found = self.store.get(&place).await?;
        let stale = match found.as_ref().map(|entry| self.look(&place, entry)) {
            Some(Look::Fresh(record)) if record.body == once.body => {
                return Ok(Claim::Made(record.made));
            }
            Some(Look::Fresh(_)) => return Err(ControlError::KeyReused(once.key)),
            Some(Look::Stale(revision)) => Some(revision),
            None => None,
        };
        if stale.is_none() && self.count(team) >= self.most {
            let reason = format!(
                "{} idempotency keys are kept (setting commands.idempotency_keys)",
                self.most
            );
            return Err(ControlError::Busy {
                reason,
                retry: RETRY,
            });
        }
        Ok(Claim::First(Pending {
            working,
            team: team.clone(),
            body: once.body,
            stale,
        }))
    }

    fn look(&self, place: &str, entry: &Entry) -> Look {
        match read_value::<KeyRecord>(place, &entry.value) {
            Some(record) if Moment::now().since(record.at) < self.kept => Look::Fresh(record),
            _ => Look::Stale(entry.modified),
        }
    }

    fn try_work(self: &Arc<Self>, place: &str) -> Result<Working, watch::Receiver<()>> {
        let mut working = self.working();
        if let Some(other) = working.get(place) {
            return Err(other.subscribe());
        }
        working.insert(place.to_owned(), watch::Sender::new(()));
        Ok(Working {
            home: Arc::clone(self),
            place: place.to_owned(),
        })
    }

    fn count(&self, team: &TeamId) -> usize {
        self.counts().get(team).copied().unwrap_or(0)
    }

    /// Forgets keys that are kept no longer, and counts the others.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let mut counts: HashMap<TeamId, usize> = HashMap::new();
        let mut range = Range::prefix("idempotency/");
        loop {
            let page = self.store.range(range.clone()).await?;
            for entry in &page.entries {
                match self.look(&entry.key, entry) {
                    Look::Fresh(_) => {
                        let team = entry.key.split('/').nth(1).map(str::parse);
                        if let Some(Ok(team)) = team {
                            *counts.entry(team).or_default() += 1;
                        }
                    }
                    Look::Stale(revision) => {
                        let delete = Operation::delete(entry.key.clone());
                        // It may have been used again meanwhile.
                        let same = Compare::Unchanged(entry.key.clone(), revision);
                        let transaction = Transaction::doing(vec![delete]).only_if(same);
                        self.store.transact(transaction).await?;
                    }
                }
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(last.key.clone()),
                _ => break,
            }
        }
        *self.counts() = counts;
        Ok(())
    }
}

enum Look {
    Fresh(KeyRecord),
    Stale(Revision),
}

/// Keeps others with the same key waiting until it is dropped.
struct Working {
    home: Arc<Idempotency>,
    place: String,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.home.working().remove(&self.place);
    }
}

/// The first request with its key, before it is known what it makes.
pub(crate) struct Pending {
    working: Working,
    team: TeamId,
    body: String,
    stale: Option<Revision>,
}

impl Pending {
    /// This is what it makes.
    pub(crate) fn makes(self, made: Made) -> Held {
        let record = KeyRecord {
            at: Moment::now(),
            body: self.body,
            made,
        };
        Held {
            working: self.working,
            team: self.team,
            record,
            stale: self.stale,
        }
    }
}

/// A key that is kept together with what its request makes. Others wait until it is dropped.
pub(crate) struct Held {
    working: Working,
    team: TeamId,
    record: KeyRecord,
    stale: Option<Revision>,
}

impl Held {
    /// Where the key is kept.
    pub(crate) fn key(&self) -> &str {
        &self.working.place
    }

    /// Keeps the key by itself.
    ///
    /// # Errors
    /// [`ControlError::KeyTaken`] when another one did; as the store.
    pub(crate) async fn keep(&self) -> Result<(), ControlError> {
        let transaction = self.guard(Transaction::doing(Vec::new()));
        let outcome = self.working.home.store.transact(transaction).await?;
        let kept = outcome.committed().is_some();
        kept.then_some(()).ok_or(ControlError::KeyTaken)
    }

    /// Keeps something else for a key that is kept.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn change(&mut self, made: Made) -> Result<(), ControlError> {
        self.record.made = made;
        let put = Operation::put(self.key(), json(&self.record));
        let transaction = Transaction::doing(vec![put]);
        self.working.home.store.transact(transaction).await?;
        Ok(())
    }

    /// Forgets a key that is kept.
    pub(crate) async fn remove(self) {
        let delete = Operation::delete(self.key());
        let home = &self.working.home;
        match home.store.transact(Transaction::doing(vec![delete])).await {
            Ok(_) => {
                if let Some(count) = home.counts().get_mut(&self.team) {
                    *count = count.saturating_sub(1);
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "an idempotency key stays that guards nothing");
            }
        }
    }

    /// Has a transaction keep the key too, and fail if another one did.
    pub(crate) fn guard(&self, mut transaction: Transaction) -> Transaction {
        let place = self.working.place.clone();
        let compare = match self.stale {
            None => Compare::Absent(place.clone()),
            Some(revision) => Compare::Unchanged(place.clone(), revision),
        };
        transaction
            .then
            .push(Operation::put(place, json(&self.record)));
        let home = &self.working.home;
        if self.stale.is_none() {
            *home.counts().entry(self.team.clone()).or_default() += 1;
        }
        transaction.only_if(compare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_settings::Settings as AllSettings;
    use soulbox_store::SqliteStore;
    use tempfile::TempDir;

    async fn keys(
        directory: &TempDir,
        changes: &[(&'static str, &'static str)],
    ) -> Arc<Idempotency> {
        let settings = AllSettings::with(changes).unwrap();
        let store = SqliteStore::open(directory.path(), &settings.store);
        let store = Arc::new(store.await.unwrap());
        Idempotency::new(store, &settings.commands)
    }

    fn once(key: &str, body: &str) -> Once {
        Once::new(key, "POST /x", body.as_bytes()).unwrap()
    }

    fn team() -> TeamId {
        TeamId::default_team()
    }

    fn made(number: u8) -> Made {
        Made::Sandbox {
            sandbox: SandboxId::from_random([number; 20]),
        }
    }

    async fn first(keys: &Arc<Idempotency>, key: &str, body: &str) -> Pending {
        match keys.claim(&team(), once(key, body)).await.unwrap() {
            Claim::First(pending) => pending,
            Claim::Made(made) => panic!("it made {made:?} already"),
        }
    }

    async fn again(keys: &Arc<Idempotency>, key: &str, body: &str) -> Made {
        match keys.claim(&team(), once(key, body)).await.unwrap() {
            Claim::First(_) => panic!("it was the first"),
            Claim::Made(made) => made,
        }
    }

    async fn keep(keys: &Arc<Idempotency>, held: &Held) -> bool {
        let put = Operation::put("record", "x");
        let transaction = held.guard(Transaction::doing(vec![put]));
        let outcome = keys.store.transact(transaction).await.unwrap();
        outcome.committed().is_some()
    }

    #[test]
    fn keys_are_visible_ascii_of_bounded_length() {
        for wrong in ["", " ", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert!(Once::new(wrong, "r", b"").is_err(), "{wrong:?}");
        }
        assert!(Once::new(&"k".repeat(255), "r", b"").is_ok());
        let place = |key, route| Once::new(key, route, b"").unwrap().place(&team());
        assert_ne!(place("a", "r"), place("a", "s"));
        assert_ne!(place("a", "r"), place("b", "r"));
    }

    #[tokio::test]
    async fn the_first_result_is_given_again_also_by_another_server() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, &[]).await;
        let held = first(&keys, "k", "body").await.makes(made(1));
        assert!(keep(&keys, &held).await);
        drop(held);
        assert_eq!(again(&keys, "k", "body").await, made(1));
        let other = keys.claim(&team(), once("k", "other body")).await;
        assert!(matches!(other, Err(ControlError::KeyReused(_))));
        let later = Idempotency::new(
            Arc::clone(&keys.store),
            &AllSettings::with(&[]).unwrap().commands,
        );
        assert_eq!(again(&later, "k", "body").await, made(1));
    }

    #[tokio::test]
    async fn others_wait_for_the_first_and_take_its_place_if_it_fails() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, &[]).await;
        let pending = first(&keys, "k", "body").await;
        let claims: Vec<_> = (0..3)
            .map(|_| {
                let keys = Arc::clone(&keys);
                tokio::spawn(async move {
                    let claim = keys.claim(&team(), once("k", "body")).await;
                    match claim.unwrap() {
                        Claim::Made(made) => Some(made),
                        Claim::First(pending) => {
                            let held = pending.makes(made(2));
                            assert!(keep(&keys, &held).await);
                            None
                        }
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(claims.iter().all(|claim| !claim.is_finished()));
        drop(pending);
        let mut firsts = 0;
        for claim in claims {
            match claim.await.unwrap() {
                None => firsts += 1,
                Some(result) => assert_eq!(result, made(2)),
            }
        }
        assert_eq!(firsts, 1);
    }

    #[tokio::test]
    async fn a_key_is_kept_with_its_record_or_neither_is() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, &[]).await;
        let held = first(&keys, "k", "body").await.makes(made(1));
        // Another server was quicker.
        let other = Idempotency::new(
            Arc::clone(&keys.store),
            &AllSettings::with(&[]).unwrap().commands,
        );
        let quicker = first(&other, "k", "body").await.makes(made(2));
        assert!(keep(&other, &quicker).await);
        assert!(!keep(&keys, &held).await);
        drop((held, quicker));
        assert_eq!(again(&keys, "k", "body").await, made(2));
    }

    #[tokio::test]
    async fn old_keys_are_free_and_their_number_is_bounded() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, &[("commands.idempotency_keys", "1")]).await;
        let held = first(&keys, "old", "body").await.makes(made(1));
        let mut old = held;
        old.record.at = Moment::from_millis(1);
        assert!(keep(&keys, &old).await);
        drop(old);
        let busy = keys.claim(&team(), once("new", "body")).await;
        assert!(matches!(busy, Err(ControlError::Busy { .. })));
        let held = first(&keys, "old", "another body").await.makes(made(2));
        assert!(keep(&keys, &held).await);
        drop(held);
        keys.sweep().await.unwrap();
        assert_eq!(again(&keys, "old", "another body").await, made(2));
        assert_eq!(keys.count(&team()), 1);
    }
}
