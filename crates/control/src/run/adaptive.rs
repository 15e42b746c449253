//! Limits that are proposed from what runs like this one used before, for those who ask for it.
//!
//! | Key | Value |
//! |---|---|
//! | `adaptive/1/<team>/<hash>` | what the latest runs of one kind used |
//!
//! The hash is of what makes runs alike: template, its build, language, libraries. The `1` is the format; what an older one
//! wrote is removed at the start, and runs begin with what was declared again.

use super::RunRequest;
use super::features::imports;
use crate::control::Control;
use crate::records::{json, read_value};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use soulbox_model::{ByteSize, Cause, Limits, Moment, TeamId};
use soulbox_node::Usage;
use soulbox_node::execute::program::Content;
use soulbox_node::execute::{Adaptive, Outcome};
use soulbox_scheduler::proposal::{Bounds, Used, WINDOW, propose};
use soulbox_settings::Execute as Settings;
use soulbox_store::{Operation, Range, Span, StateStore, StoreError, Transaction};
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Before all keys of this format.
const PREFIX: &str = "adaptive/1/";
/// Entries that one transaction removes of an older format.
const REMOVED_AT_ONCE: usize = 100;

/// What runs used.
pub(crate) struct Pasts {
    store: Arc<dyn StateStore>,
    least_memory: u64,
    /// Fewer runs say nothing.
    runs: usize,
    /// The most kinds of runs of a team.
    kinds: usize,
    /// Who changes them: one after the other.
    turn: Mutex<()>,
}

/// What is kept of runs of one kind, the oldest first: memory in bytes and thousandths of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    at: Moment,
    runs: Vec<(u64, u32)>,
}

/// A run whose limits were proposed, or will be from what this one uses.
pub(super) struct Past {
    key: String,
    team: TeamId,
    /// What was given.
    given: Used,
    /// What was declared: nothing proposed goes over it.
    declared: Used,
    /// Runs that the proposal is of; none: what was declared was given.
    of: Option<usize>,
}

impl Pasts {
    pub(crate) fn new(store: Arc<dyn StateStore>, settings: &Settings) -> Self {
        Self {
            store,
            least_memory: settings.adaptive_memory.bytes(),
            runs: settings.adaptive_runs as usize,
            kinds: settings.adaptive_kinds as usize,
            turn: Mutex::default(),
        }
    }

    /// Removes what an older format wrote.
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        let older = Span::Between("adaptive/".to_owned(), PREFIX.to_owned());
        loop {
            let page = self
                .store
                .range(Range::of(older.clone()).limit(REMOVED_AT_ONCE))
                .await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            let keys = page.entries.into_iter().map(|entry| entry.key);
            let removed = keys.map(Operation::delete).collect();
            self.store
                .transact(Transaction::doing(removed).ending())
                .await?;
        }
    }

    async fn read(&self, key: &str) -> Result<Vec<Used>, StoreError> {
        let entry = self.store.get(key).await?;
        let kept = entry.and_then(|entry| read_value::<Kept>(key, &entry.value));
        let runs = kept.map(|kept| kept.runs).unwrap_or_default();
        let used = runs
            .into_iter()
            .map(|(memory, cpu_millis)| Used { memory, cpu_millis });
        Ok(used.collect())
    }

    /// Keeps what one more run used. Of too many kinds those go that were not used for longest.
    async fn add(&self, past: &Past, used: Used) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut runs = self.read(&past.key).await?;
        let is_new = runs.is_empty();
        runs.push(used);
        let runs = runs.split_off(runs.len().saturating_sub(WINDOW));
        let kept = Kept {
            at: Moment::now(),
            runs: runs
                .iter()
                .map(|used| (used.memory, used.cpu_millis))
                .collect(),
        };
        let mut operations = match is_new {
            true => self.too_many(&past.team).await?,
            false => Vec::new(),
        };
        operations.push(Operation::put(past.key.clone(), json(&kept)));
        self.store.transact(Transaction::doing(operations)).await?;
        Ok(())
    }

    async fn too_many(&self, team: &TeamId) -> Result<Vec<Operation>, StoreError> {
        let prefix = format!("{PREFIX}{}/", team.as_str());
        let page = self.store.range(Range::prefix(prefix)).await?;
        let mut kinds: Vec<_> = page
            .entries
            .into_iter()
            .map(|entry| {
                // What cannot be read goes first.
                let at = read_value::<Kept>(&entry.key, &entry.value).map(|kept| kept.at);
                (at, entry.key)
            })
            .collect();
        kinds.sort();
        let over = (kinds.len() + 1).saturating_sub(self.kinds);
        let over = kinds.into_iter().take(over.min(REMOVED_AT_ONCE));
        Ok(over.map(|(_, key)| Operation::delete(key)).collect())
    }
}

impl Control {
    /// Proposes limits for a run that wants it and puts them into the request. Without a past, or when that cannot be
    /// read, what was declared stays.
    pub(super) async fn adapt(&self, team: &TeamId, request: &mut RunRequest) -> Option<Past> {
        if !request.adaptive {
            return None;
        }
        let key = self.kind_of(team, request)?;
        let before = match self.pasts.read(&key).await {
            Ok(before) => before,
            Err(error) => {
                tracing::warn!(%error, "what runs used before cannot be read");
                return None;
            }
        };
        let declared = Used {
            memory: request.limits.memory_max.bytes(),
            cpu_millis: request.limits.cpu_millis,
        };
        let bounds = Bounds {
            runs: self.pasts.runs,
            least_memory: self.pasts.least_memory.max(Limits::MEMORY.0.bytes()),
            most: declared,
        };
        let proposed = propose(&before, &bounds);
        let given = proposed.unwrap_or(declared);
        let limits = &mut request.limits;
        limits.memory_max = ByteSize(given.memory);
        limits.memory = limits.memory.min(limits.memory_max);
        limits.cpu_millis = given.cpu_millis;
        Some(Past {
            key,
            team: team.clone(),
            given,
            declared,
            of: proposed.map(|_| before.len()),
        })
    }

    /// Keeps what a run used.
    pub(super) async fn learn(&self, past: &Past, used: Used) {
        if let Err(error) = self.pasts.add(past, used).await {
            tracing::warn!(%error, "what a run used cannot be kept");
        }
    }

    /// Under which key runs like this one are kept; none where the template's build cannot be told.
    fn kind_of(&self, team: &TeamId, request: &RunRequest) -> Option<String> {
        let record = self.templates.get(&request.template).ok()?.record;
        let program = &request.execution.program;
        let first = program
            .files
            .iter()
            .find(|file| file.remote == program.entry);
        let libraries = match first.map(|file| &file.content) {
            Some(Content::Bytes(code)) => imports(program.language.name, code),
            _ => imports(program.language.name, b""),
        };
        let build = format!(
            "{} {} {:?}",
            request.template, record.created, record.recipe
        );
        let words = [build.as_str(), program.language.name];
        let mut hash = Sha256::new();
        for word in words
            .into_iter()
            .chain(libraries.iter().map(String::as_str))
        {
            hash.update(word);
            hash.update([0]);
        }
        let mut key = format!("{PREFIX}{}/", team.as_str());
        for byte in hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(key, "{byte:02x}");
        }
        Some(key)
    }
}

impl Past {
    /// Changes the cause of a run that ran out of memory below what was declared.
    pub(super) fn judge(&self, outcome: &mut Outcome) {
        if outcome.cause == Cause::OutOfMemory && self.given.memory < self.declared.memory {
            outcome.cause = Cause::OutOfAdaptiveMemory;
        }
    }

    /// What the run counts for the next one; none where it was ended before it could show what it needs.
    pub(super) fn counts(&self, outcome: &Outcome, usage: Usage) -> Option<Used> {
        let ran_out = matches!(
            outcome.cause,
            Cause::OutOfMemory | Cause::OutOfAdaptiveMemory
        );
        let time = outcome.duration.as_micros().max(1);
        if outcome.cause == Cause::Killed || usage.peak_memory.bytes() == 0 && !ran_out {
            return None;
        }
        let cpu = usage.cpu.as_micros() * 1_000 / time;
        let used = Used {
            memory: usage.peak_memory.bytes(),
            cpu_millis: u32::try_from(cpu).unwrap_or(u32::MAX),
        };
        Some(used.under(self.given, ran_out))
    }

    /// What is told of it.
    pub(super) fn told(&self, cause: Cause) -> Adaptive {
        Adaptive {
            runs: self.of.unwrap_or(0),
            memory: self.given.memory,
            cpu_millis: self.given.cpu_millis,
            message: (cause == Cause::OutOfAdaptiveMemory).then(|| self.message()),
        }
    }

    /// That the memory which was proposed was too little.
    pub(super) fn message(&self) -> String {
        format!(
            "memory ran out at an adaptive limit of {}, proposed from {} runs before; the next run like it gets more, \
             and `limits: \"declared\"` gives {} at once",
            ByteSize(self.given.memory),
            self.of.unwrap_or(0),
            ByteSize(self.declared.memory),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_settings::Settings as AllSettings;
    use soulbox_store::SqliteStore;
    use tempfile::TempDir;

    async fn pasts(directory: &TempDir) -> Pasts {
        let settings = AllSettings::with(&[("execute.adaptive_kinds", "3")]).unwrap();
        let store = SqliteStore::open(directory.path(), &settings.store);
        Pasts::new(Arc::new(store.await.unwrap()), &settings.execute)
    }

    fn used(memory: u64) -> Used {
        Used {
            memory,
            cpu_millis: 100,
        }
    }

    fn past(kind: &str) -> Past {
        let team = TeamId::default_team();
        Past {
            key: format!("{PREFIX}{}/{kind}", team.as_str()),
            team,
            given: used(64 << 20),
            declared: used(128 << 20),
            of: Some(5),
        }
    }

    #[tokio::test]
    async fn the_latest_runs_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let pasts = pasts(&directory).await;
        for memory in 0..WINDOW as u64 + 3 {
            pasts.add(&past("a"), used(memory)).await.unwrap();
        }
        let kept = pasts.read(&past("a").key).await.unwrap();
        assert_eq!((kept.len(), kept[0]), (WINDOW, used(3)));
    }

    #[tokio::test]
    async fn kinds_used_longest_ago_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let pasts = pasts(&directory).await;
        for kind in ["a", "b", "c", "a", "d"] {
            pasts.add(&past(kind), used(1)).await.unwrap();
            // The order is by milliseconds.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let page = pasts.store.range(Range::prefix(PREFIX)).await.unwrap();
        let kinds: Vec<_> = page
            .entries
            .iter()
            .map(|entry| entry.key.rsplit('/').next())
            .collect();
        assert_eq!(kinds, [Some("a"), Some("c"), Some("d")]);
    }

    #[tokio::test]
    async fn an_older_format_is_removed_and_this_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let pasts = pasts(&directory).await;
        pasts.add(&past("a"), used(1)).await.unwrap();
        for old in 0..REMOVED_AT_ONCE + 5 {
            let put = Operation::put(format!("adaptive/0/{old}"), b"?".to_vec());
            pasts
                .store
                .transact(Transaction::doing(vec![put]))
                .await
                .unwrap();
        }
        pasts.migrate().await.unwrap();
        let page = pasts.store.range(Range::prefix("adaptive/")).await.unwrap();
        let keys: Vec<_> = page.entries.into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, [past("a").key]);
    }
}
