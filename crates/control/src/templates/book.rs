//! All templates that clients built: in memory, where creates find them, and in the store.
//!
//! | Key | Value |
//! |---|---|
//! | `template/kept/<id>` | a template with its builds and tags |
//! | `template/gone/<name>` | nothing: a tree on disk that goes when nobody uses it any more |

use super::record::{BuildStatus, Reason, TemplateEntry};
use crate::error::ControlError;
use crate::records::{Records, json};
use soulbox_model::{Moment, TeamId, TemplateId, TemplateName};
use soulbox_store::{Operation, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// All templates that clients built.
pub(crate) struct Book {
    records: Records,
    /// How many builds without a tag are kept of each.
    keep: usize,
    shelf: RwLock<Shelf>,
    /// Held while something is changed, in the store first.
    writing: tokio::sync::Mutex<()>,
    /// Trees that go when nobody uses them any more.
    gone: Mutex<BTreeSet<TemplateName>>,
    /// Sandboxes that were made since that was last kept.
    spawned: Mutex<HashMap<TemplateId, (u64, Moment)>>,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<TemplateId, Arc<TemplateEntry>>,
    names: HashMap<(TeamId, String), TemplateId>,
}

impl Shelf {
    fn put(&mut self, entry: TemplateEntry) {
        let name = (entry.team.clone(), entry.name.clone());
        self.names.insert(name, entry.id.clone());
        self.entries.insert(entry.id.clone(), Arc::new(entry));
    }
}

impl Book {
    pub(crate) async fn load(records: &Records, keep: usize) -> Result<Self, StoreError> {
        let mut shelf = Shelf::default();
        let mut gone: BTreeSet<_> = records.gone_templates().await?.into_iter().collect();
        for mut entry in records.templates().await? {
            let failed = fail_open(&mut entry);
            if !failed.is_empty() {
                records.put_template(&entry, &failed).await?;
                gone.extend(failed);
            }
            shelf.put(entry);
        }
        Ok(Self {
            records: records.clone(),
            keep,
            shelf: RwLock::new(shelf),
            writing: tokio::sync::Mutex::default(),
            gone: Mutex::new(gone),
            spawned: Mutex::default(),
        })
    }

    /// A template.
    pub(crate) fn get(&self, id: &TemplateId) -> Option<Arc<TemplateEntry>> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        shelf.entries.get(id).cloned()
    }

    /// A team's template of that name.
    pub(crate) fn named(&self, team: &TeamId, name: &str) -> Option<Arc<TemplateEntry>> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let id = shelf.names.get(&(team.clone(), name.to_owned()))?;
        shelf.entries.get(id).cloned()
    }

    /// All templates of a team, by name.
    pub(crate) fn of_team(&self, team: &TeamId) -> Vec<Arc<TemplateEntry>> {
        let mut all = self.all();
        all.retain(|entry| entry.team == *team);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All templates.
    pub(crate) fn all(&self) -> Vec<Arc<TemplateEntry>> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        shelf.entries.values().cloned().collect()
    }

    /// Changes a template, on disk and then for all who look.
    pub(crate) async fn change<T>(
        &self,
        id: &TemplateId,
        change: impl FnOnce(&mut TemplateEntry) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let _turn = self.writing.lock().await;
        let entry = self
            .get(id)
            .ok_or_else(|| ControlError::no_template(id.as_str()))?;
        let mut entry = TemplateEntry::clone(&entry);
        let done = change(&mut entry)?;
        self.put(entry).await?;
        Ok(done)
    }

    /// Changes a team's template of a name, which `make` makes if it is not there.
    pub(crate) async fn change_named<T>(
        &self,
        (team, name): (&TeamId, &str),
        make: impl FnOnce() -> Result<TemplateEntry, ControlError>,
        change: impl FnOnce(&mut TemplateEntry) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let _turn = self.writing.lock().await;
        let mut entry = match self.named(team, name) {
            Some(entry) => TemplateEntry::clone(&entry),
            None => make()?,
        };
        let done = change(&mut entry)?;
        self.put(entry).await?;
        Ok(done)
    }

    async fn put(&self, mut entry: TemplateEntry) -> Result<(), ControlError> {
        let gone = entry.trim(self.keep);
        self.records.put_template(&entry, &gone).await?;
        self.gone().extend(gone);
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        shelf.put(entry);
        Ok(())
    }

    /// Forgets a template; its trees go when nobody uses them any more.
    pub(crate) async fn remove(&self, entry: &TemplateEntry) -> Result<(), ControlError> {
        let _turn = self.writing.lock().await;
        let Some(entry) = self.get(&entry.id) else {
            return Err(ControlError::no_template(entry.id.as_str()));
        };
        let trees: Vec<_> = entry.builds.iter().map(|build| &build.on_disk).collect();
        self.records.remove_template(&entry.id, &trees).await?;
        self.gone().extend(trees.into_iter().cloned());
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        shelf.entries.remove(&entry.id);
        shelf
            .names
            .remove(&(entry.team.clone(), entry.name.clone()));
        Ok(())
    }

    /// Notes a tree that nothing leads to any more.
    pub(crate) async fn doom(&self, name: &TemplateName) -> Result<(), StoreError> {
        let put = Operation::put(gone_key(name), Vec::new());
        self.records.transact_all(vec![put]).await?;
        self.gone().insert(name.clone());
        Ok(())
    }

    /// The trees that nothing leads to any more.
    pub(crate) fn doomed(&self) -> Vec<TemplateName> {
        self.gone().iter().cloned().collect()
    }

    /// Notes that a tree has gone.
    pub(crate) async fn is_gone(&self, name: &TemplateName) -> Result<(), StoreError> {
        let delete = Operation::delete(gone_key(name));
        self.records.transact_all(vec![delete]).await?;
        self.gone().remove(name);
        Ok(())
    }

    /// Counts a sandbox.
    pub(crate) fn spawned(&self, id: TemplateId) {
        let mut spawned = self.counts();
        let (count, last) = spawned.entry(id).or_default();
        *count += 1;
        *last = Moment::now();
    }

    /// How many sandboxes were made of a template, and when the last one was.
    pub(crate) fn count_of(&self, entry: &TemplateEntry) -> (u64, Option<Moment>) {
        match self.counts().get(&entry.id) {
            Some((count, last)) => (entry.spawned + count, Some(*last)),
            None => (entry.spawned, entry.last_spawned),
        }
    }

    /// Keeps what was counted.
    pub(crate) async fn keep_counts(&self) {
        let counts = std::mem::take(&mut *self.counts());
        for (id, (count, last)) in counts {
            let kept = self.change(&id, |entry| {
                entry.spawned += count;
                entry.last_spawned = Some(last);
                Ok(())
            });
            if let Err(error) = kept.await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(template = %id, error, "sandboxes of a template are not counted");
            }
        }
    }

    fn gone(&self) -> MutexGuard<'_, BTreeSet<TemplateName>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<TemplateId, (u64, Moment)>> {
        self.spawned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds that a server was ended in have failed; gives the names of what their trees may be.
fn fail_open(entry: &mut TemplateEntry) -> Vec<TemplateName> {
    let open = entry.builds.iter_mut();
    let failed = open.filter(|build| build.status.is_open()).map(|build| {
        let message = match build.status {
            BuildStatus::Waiting => "the server was ended before the build was started",
            _ => {
                "the server was ended during the build; build again: steps that were done are kept"
            }
        };
        build.status = BuildStatus::Error;
        build.reason = Some(Reason {
            message: message.to_owned(),
            step: None,
        });
        build.finished_at = Some(Moment::now());
        build.on_disk.clone()
    });
    failed.collect()
}

pub(crate) fn gone_key(name: &TemplateName) -> String {
    format!("template/gone/{name}")
}

fn kept_key(id: &TemplateId) -> String {
    format!("template/kept/{id}")
}

impl Records {
    async fn templates(&self) -> Result<Vec<TemplateEntry>, StoreError> {
        self.values("template/kept/").await
    }

    async fn gone_templates(&self) -> Result<Vec<TemplateName>, StoreError> {
        let keys = self.keys_below("template/gone/").await?;
        Ok(keys.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn put_template<'a>(
        &self,
        entry: &TemplateEntry,
        gone: impl IntoIterator<Item = &'a TemplateName>,
    ) -> Result<(), StoreError> {
        let put = Operation::put(kept_key(&entry.id), json(entry));
        let gone = gone.into_iter();
        let gone = gone.map(|name| Operation::put(gone_key(name), Vec::new()));
        self.transact_all([put].into_iter().chain(gone).collect())
            .await
    }

    async fn remove_template(
        &self,
        id: &TemplateId,
        trees: &[&TemplateName],
    ) -> Result<(), StoreError> {
        // The trees first, in parts that a transaction takes: what is cut off in between is begun again.
        for part in trees.chunks(100) {
            let part = part.iter();
            let gone = part.map(|name| Operation::put(gone_key(name), Vec::new()));
            self.transact_all(gone.collect()).await?;
        }
        self.transact_all(vec![Operation::delete(kept_key(id))])
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{build, entry};
    use super::*;
    use soulbox_settings::Settings;
    use soulbox_store::SqliteStore;
    use std::path::Path;

    async fn records(directory: &Path) -> Records {
        let settings = Settings::with(&[]).unwrap();
        let store = SqliteStore::open(directory, &settings.store).await;
        Records::new(Arc::new(store.unwrap()))
    }

    /// As at the start of a server.
    async fn book(records: &Records) -> Book {
        Book::load(records, 1).await.unwrap()
    }

    async fn add(book: &Book, team: &str, name: &str, builds: &[(u8, BuildStatus)]) -> TemplateId {
        let team: TeamId = team.parse().unwrap();
        let make = || Ok(entry(team.as_str(), name));
        let change = |entry: &mut TemplateEntry| {
            for (number, status) in builds {
                build(entry, *number, *status);
            }
            Ok(entry.id.clone())
        };
        book.change_named((&team, name), make, change)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn names_are_each_teams_own_and_last() {
        let directory = tempfile::tempdir().unwrap();
        let records = records(directory.path()).await;
        let (one, other) = {
            let book = book(&records).await;
            let one = add(&book, "acme", "mine", &[(1, BuildStatus::Ready)]).await;
            let other = add(&book, "other", "mine", &[]).await;
            (one, other)
        };
        assert_ne!(one, other);
        let book = book(&records).await;
        let found = |team: &str| book.named(&team.parse().unwrap(), "mine").unwrap();
        assert_eq!(found("acme").id, one);
        assert_eq!(found("acme").builds.len(), 1);
        assert_eq!(found("other").id, other);
        book.remove(&found("acme")).await.unwrap();
        assert!(book.get(&one).is_none());
        assert!(book.named(&"acme".parse().unwrap(), "mine").is_none());
        assert_eq!(book.doomed().len(), 1, "its tree goes later");
    }

    #[tokio::test]
    async fn a_build_that_the_server_was_ended_in_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let records = records(directory.path()).await;
        let builds = [
            (1, BuildStatus::Ready),
            (2, BuildStatus::Building),
            (3, BuildStatus::Waiting),
        ];
        let id = {
            let book = book(&records).await;
            add(&book, "acme", "mine", &builds).await
        };
        let book = book(&records).await;
        let entry = book.get(&id).unwrap();
        let status: Vec<_> = entry.builds.iter().map(|build| build.status).collect();
        let error = BuildStatus::Error;
        assert_eq!(status, [BuildStatus::Ready, error, error]);
        let reason = entry.builds[1].reason.as_ref().unwrap();
        assert!(reason.message.contains("ended during the build"));
        let doomed = book.doomed();
        assert_eq!(doomed.len(), 2, "{doomed:?}");
        for name in &doomed {
            book.is_gone(name).await.unwrap();
        }
        assert!(book.doomed().is_empty());
    }

    #[tokio::test]
    async fn sandboxes_are_counted_at_once_and_kept_later() {
        let directory = tempfile::tempdir().unwrap();
        let records = records(directory.path()).await;
        let book = book(&records).await;
        let id = add(&book, "acme", "mine", &[]).await;
        book.spawned(id.clone());
        book.spawned(id.clone());
        let entry = book.get(&id).unwrap();
        assert_eq!((book.count_of(&entry).0, entry.spawned), (2, 0));
        book.keep_counts().await;
        let entry = book.get(&id).unwrap();
        assert_eq!((book.count_of(&entry).0, entry.spawned), (2, 2));
        assert!(entry.last_spawned.is_some());
    }
}
