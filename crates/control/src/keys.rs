//! Keys of the programming interface: each belongs to a team, and only its hash is kept.

use crate::error::ControlError;
use crate::records::Records;
use serde::{Deserialize, Serialize};
use soulbox_model::{ApiKey, KeyHash, Moment, TeamId};
use soulbox_store::StoreError;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What it is listed and removed by: the first 12 digits of its hash.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// Whose it is.
    pub team: TeamId,
    /// Its first and last characters.
    pub hint: String,
    /// When it was made.
    pub created_at: Moment,
    /// The hash.
    pub hash: KeyHash,
}

impl KeyRecord {
    fn of(key: &ApiKey, name: &str, team: TeamId) -> Self {
        let hash = key.hash();
        Self {
            id: hash.as_str().chars().take(12).collect(),
            name: name.to_owned(),
            team,
            hint: key.hint(),
            created_at: Moment::now(),
            hash,
        }
    }
}

/// All keys of a server.
pub struct Keys {
    records: Records,
    kept: RwLock<HashMap<KeyHash, KeyRecord>>,
    /// One that the operator fixed for this run of the server; never kept.
    fixed: RwLock<Option<KeyRecord>>,
}

/// The longest name of a key, in characters.
const LONGEST_NAME: usize = 100;

impl Keys {
    pub(crate) async fn load(records: &Records) -> Result<Self, StoreError> {
        let kept = records.keys().await?;
        let kept = kept.into_iter().map(|key| (key.hash.clone(), key));
        Ok(Self {
            records: records.clone(),
            kept: RwLock::new(kept.collect()),
            fixed: RwLock::default(),
        })
    }

    /// The team of a key. Found by its hash, so that the time it takes tells nothing about any key.
    pub fn team_of(&self, key: &ApiKey) -> Option<TeamId> {
        let hash = key.hash();
        let fixed = self.fixed.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(fixed) = fixed.as_ref().filter(|fixed| fixed.hash == hash) {
            return Some(fixed.team.clone());
        }
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&hash).map(|record| record.team.clone())
    }

    /// Accepts a key that the operator fixed, as long as this server runs.
    pub fn fix(&self, key: &ApiKey) {
        let record = KeyRecord::of(key, "fixed by the operator", TeamId::default_team());
        *self.fixed.write().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }

    /// Makes a key. It is told this once.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for a name that is too long; as the records.
    pub async fn create(
        &self,
        name: &str,
        team: &TeamId,
    ) -> Result<(ApiKey, KeyRecord), ControlError> {
        check_name(name)?;
        let mut random = [0; 20];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let key = ApiKey::from_random(random);
        let record = KeyRecord::of(&key, name, team.clone());
        self.records.put_key(&record).await?;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(record.hash.clone(), record.clone());
        Ok((key, record))
    }

    /// The keys of a team, the oldest first.
    pub fn list(&self, team: &TeamId) -> Vec<KeyRecord> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<_> = kept
            .values()
            .filter(|key| key.team == *team)
            .cloned()
            .collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        keys
    }

    /// Whether there is any key.
    pub fn is_empty(&self) -> bool {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Calls a key of a team something else; false when there is none.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for a name that is too long; as the records.
    pub async fn rename(&self, team: &TeamId, id: &str, name: &str) -> Result<bool, ControlError> {
        check_name(name)?;
        let Some(mut record) = self.list(team).into_iter().find(|key| key.id == id) else {
            return Ok(false);
        };
        record.name = name.to_owned();
        self.records.put_key(&record).await?;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(record.hash.clone(), record);
        Ok(true)
    }

    /// Removes a key of a team by its id; false when there is none.
    ///
    /// # Errors
    /// As the records.
    pub async fn remove(&self, team: &TeamId, id: &str) -> Result<bool, ControlError> {
        let Some(record) = self.list(team).into_iter().find(|key| key.id == id) else {
            return Ok(false);
        };
        self.records.remove_key(&record).await?;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&record.hash);
        Ok(true)
    }
}

fn check_name(name: &str) -> Result<(), ControlError> {
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let reason = format!("it has control characters, or more than {LONGEST_NAME}");
        return Err(ControlError::invalid("name", reason));
    }
    Ok(())
}
