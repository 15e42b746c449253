//! What is kept of a template that clients build.

use serde::{Deserialize, Serialize};
use soulbox_model::{
    BuildId, ByteSize, Moment, TeamId, TemplateId, TemplateName, TemplateReference,
};
use std::collections::BTreeMap;

/// The most builds of a template that failed and are kept as records.
const FAILED: usize = 20;
/// The most tags of a template.
pub const MOST_TAGS: usize = 100;

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
    /// It was begun, and its steps are not known yet.
    Waiting,
    /// It runs, or waits for its turn.
    Building,
    /// Sandboxes can be made of it.
    Ready,
    /// It failed.
    Error,
}

impl BuildStatus {
    /// As clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Error => "error",
        }
    }

    /// Whether it may still change.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Building)
    }
}

/// Why a build failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What failed.
    pub message: String,
    /// Where: `base`, the number of a step from 1, or `finalize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Its id.
    pub id: BuildId,
    /// Its number among those of its template, from 1.
    pub number: u32,
    /// Where it stands.
    pub status: BuildStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The tags that lead to it as soon as it is ready.
    pub tags: Vec<String>,
    /// When it was asked for.
    pub created_at: Moment,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Moment>,
    /// The processor time of its sandboxes, in thousandths of a CPU.
    pub cpu_millis: u32,
    /// The memory of its sandboxes.
    pub memory: ByteSize,
    /// What its tree is called on disk.
    pub on_disk: TemplateName,
    /// What its tree and its layers take, shared or not.
    #[serde(default)]
    pub size: ByteSize,
}

/// Where a tag leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tagged {
    /// The build.
    pub build: BuildId,
    /// Since when.
    pub at: Moment,
}

/// A template with its builds and tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateEntry {
    /// Its id, which stays.
    pub id: TemplateId,
    /// Whose it is.
    pub team: TeamId,
    /// Its name among those of the team.
    pub name: String,
    /// Whether other teams may use it.
    pub public: bool,
    /// When it was first asked for.
    pub created_at: Moment,
    /// When a build of it was last ready, or a tag changed.
    pub updated_at: Moment,
    /// How many sandboxes were made of it.
    #[serde(default)]
    pub spawned: u64,
    /// When the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_spawned: Option<Moment>,
    /// How many builds there ever were.
    pub count: u32,
    /// Where its tags lead.
    pub tags: BTreeMap<String, Tagged>,
    /// The builds that are kept, the oldest first.
    pub builds: Vec<BuildRecord>,
}

impl TemplateEntry {
    /// A build of it.
    pub fn build(&self, id: &BuildId) -> Option<&BuildRecord> {
        self.builds.iter().find(|build| build.id == *id)
    }

    pub(crate) fn build_mut(&mut self, id: &BuildId) -> Option<&mut BuildRecord> {
        self.builds.iter_mut().find(|build| build.id == *id)
    }

    /// The build that a tag leads to.
    pub fn tagged(&self, tag: &str) -> Option<&BuildRecord> {
        self.build(&self.tags.get(tag)?.build)
    }

    /// The build that it is shown by: the one of its default tag, else the newest that is ready, else the newest.
    pub fn shown(&self) -> Option<&BuildRecord> {
        let ready = |build: &&BuildRecord| build.status == BuildStatus::Ready;
        self.tagged(TemplateReference::DEFAULT_TAG)
            .or_else(|| self.builds.iter().rev().find(ready))
            .or_else(|| self.builds.last())
    }

    /// The tags that lead to a build.
    pub fn tags_of(&self, build: &BuildId) -> Vec<&str> {
        let tags = self.tags.iter().filter(|(_, to)| to.build == *build);
        tags.map(|(tag, _)| tag.as_str()).collect()
    }

    /// Lets tags lead to a build.
    pub(crate) fn tag(&mut self, build: &BuildId, tags: &[String], now: Moment) {
        for tag in tags {
            let to = Tagged {
                build: build.clone(),
                at: now,
            };
            self.tags.insert(tag.clone(), to);
        }
        self.updated_at = now;
    }

    /// Forgets builds that no tag leads to, but for the newest `keep` that are ready; gives the names of
    /// their trees.
    pub(crate) fn trim(&mut self, keep: usize) -> Vec<TemplateName> {
        let (mut ready, mut failed) = (0, 0);
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for build in self.builds.drain(..).rev() {
            let tagged = self.tags.values().any(|to| to.build == build.id);
            let stays = match build.status {
                _ if tagged => true,
                BuildStatus::Waiting | BuildStatus::Building => true,
                BuildStatus::Ready => {
                    ready += 1;
                    ready <= keep
                }
                BuildStatus::Error => {
                    failed += 1;
                    failed <= FAILED
                }
            };
            match (stays, build.status) {
                (true, _) => kept.push(build),
                (false, BuildStatus::Ready) => gone.push(build.on_disk),
                (false, _) => {}
            }
        }
        kept.reverse();
        self.builds = kept;
        gone
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn entry(team: &str, name: &str) -> TemplateEntry {
        let mut random = [0; TemplateId::LENGTH];
        for (to, from) in random.iter_mut().zip(team.bytes().chain(name.bytes())) {
            *to = from;
        }
        TemplateEntry {
            id: TemplateId::from_random(random),
            team: team.parse().unwrap(),
            name: name.to_owned(),
            public: false,
            created_at: Moment::default(),
            updated_at: Moment::default(),
            spawned: 0,
            last_spawned: None,
            count: 0,
            tags: BTreeMap::new(),
            builds: Vec::new(),
        }
    }

    pub(crate) fn build(entry: &mut TemplateEntry, number: u8, status: BuildStatus) -> BuildId {
        let id = BuildId::from_random([number; 16]);
        entry.builds.push(BuildRecord {
            number: u32::from(number),
            status,
            reason: None,
            tags: vec!["default".into()],
            created_at: Moment::default(),
            finished_at: None,
            cpu_millis: 1000,
            memory: ByteSize::mib(512),
            on_disk: entry.id.on_disk(&id).unwrap(),
            size: ByteSize(0),
            id: id.clone(),
        });
        id
    }

    #[test]
    fn builds_without_a_tag_go_the_oldest_first() {
        let mut entry = entry("acme", "mine");
        let ids: Vec<_> = (1..=5)
            .map(|number| build(&mut entry, number, BuildStatus::Ready))
            .collect();
        let failed = build(&mut entry, 6, BuildStatus::Error);
        let running = build(&mut entry, 7, BuildStatus::Building);
        entry.tag(&ids[0], &["v1".into()], Moment::default());
        let gone = entry.trim(2);
        let names: Vec<_> = [2, 1]
            .map(|at: usize| entry.id.on_disk(&ids[at]).unwrap())
            .into();
        assert_eq!(gone, names);
        let left: Vec<_> = entry.builds.iter().map(|build| &build.id).collect();
        assert_eq!(left, [&ids[0], &ids[3], &ids[4], &failed, &running]);
        assert_eq!(entry.tags_of(&ids[0]), ["v1"]);
        assert_eq!(entry.shown().map(|build| &build.id), Some(&ids[4]));
    }
}
