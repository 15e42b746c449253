//! A build that is asked for: its template is there from then on, and its id is known.

use super::record::{BuildRecord, BuildStatus, MOST_TAGS, TemplateEntry};
use crate::control::Control;
use crate::error::ControlError;
use crate::template::reference;
use soulbox_model::{
    BuildId, ByteSize, Limits, Moment, TeamId, TemplateId, TemplateName, TemplateReference,
    template_tag,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When to come again if too many builds wait.
const RETRY: Duration = Duration::from_secs(5);

/// A build that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewBuild {
    /// The template: `name`, `name:tag`, `namespace/name`, or the id of one that is there.
    pub name: String,
    /// The tags that shall lead to it; none: that of the name, or `default`.
    pub tags: Vec<String>,
    /// The processors of its sandboxes.
    pub cpus: Option<u32>,
    /// The memory of its sandboxes.
    pub memory: Option<ByteSize>,
}

/// A build that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its template.
    pub template: TemplateId,
    /// The template's name.
    pub name: String,
    /// The template's team.
    pub team: TeamId,
    /// Whether other teams may use the template.
    pub public: bool,
    /// Its id.
    pub build: BuildId,
    /// The tags that will lead to it.
    pub tags: Vec<String>,
}

impl Control {
    /// Begins a build of a template, which is made if the team has none of that name.
    ///
    /// # Errors
    /// [`ControlError::Invalid`], [`ControlError::NameTaken`], [`ControlError::Busy`]; as the records.
    pub async fn begin_build(
        self: &Arc<Self>,
        team: &TeamId,
        asked: NewBuild,
    ) -> Result<Begun, ControlError> {
        let reference = reference(&asked.name)
            .map_err(|error| ControlError::invalid("name", error.to_string()))?;
        if reference
            .namespace
            .as_ref()
            .is_some_and(|given| given != team)
        {
            return Err(ControlError::ForeignTemplate(
                asked.name.chars().take(150).collect(),
            ));
        }
        let tags = tags(&reference, &asked.tags)?;
        let (cpu_millis, memory) = self.limits_asked(&asked)?;
        let own = self.own_by_id(team, &reference.name);
        let name = match &own {
            Some(entry) => entry.name.clone(),
            None => reference.name.clone(),
        };
        if own.is_none() && self.made.book.named(team, &name).is_none() {
            self.check_new(team, &name)?;
        }
        let waiting = self.made.book.of_team(team);
        let waiting = waiting.iter().flat_map(|entry| &entry.builds);
        let most = self.settings.template.queue as usize;
        if waiting.filter(|build| build.status.is_open()).count() >= most {
            return Err(ControlError::Busy {
                reason: format!("{most} builds wait already (setting template.queue)"),
                retry: RETRY,
            });
        }
        let now = Moment::now();
        let build = BuildId::from_random(random());
        let made = TemplateEntry {
            id: TemplateId::from_random(random()),
            team: team.clone(),
            name: name.clone(),
            public: false,
            created_at: now,
            updated_at: now,
            spawned: 0,
            last_spawned: None,
            count: 0,
            tags: BTreeMap::new(),
            builds: Vec::new(),
        };
        let add = |entry: &mut TemplateEntry| {
            let mut all: Vec<_> = entry.tags.keys().chain(&tags).collect();
            all.sort();
            all.dedup();
            if all.len() > MOST_TAGS {
                let reason = format!("a template has at most {MOST_TAGS}");
                return Err(ControlError::invalid("tags", reason));
            }
            entry.count += 1;
            entry.builds.push(BuildRecord {
                on_disk: on_disk(&entry.id, &build)?,
                id: build.clone(),
                number: entry.count,
                status: BuildStatus::Waiting,
                reason: None,
                tags: tags.clone(),
                created_at: now,
                finished_at: None,
                cpu_millis,
                memory,
                size: ByteSize(0),
            });
            Ok(Begun {
                template: entry.id.clone(),
                name: entry.name.clone(),
                team: team.clone(),
                public: entry.public,
                build: build.clone(),
                tags: tags.clone(),
            })
        };
        let book = &self.made.book;
        book.change_named((team, &name), || Ok(made), add).await
    }

    /// Whether a team may have a new template of that name.
    fn check_new(&self, team: &TeamId, name: &str) -> Result<(), ControlError> {
        let of_server: Result<TemplateName, _> = name.parse();
        let taken = of_server.is_ok_and(|name| {
            name.is_host() || self.templates.contains(&name) || self.is_being_built(&name)
        });
        if taken || soulbox_node::template::can_be_built(name) {
            return Err(ControlError::NameTaken(name.to_owned()));
        }
        let most = self.settings.template.most as usize;
        if self.made.book.of_team(team).len() >= most {
            let reason =
                format!("the team has {most} templates (setting template.most): delete one");
            return Err(ControlError::invalid("name", reason));
        }
        Ok(())
    }

    fn own_by_id(&self, team: &TeamId, text: &str) -> Option<Arc<TemplateEntry>> {
        let entry = self.made.book.get(&text.parse().ok()?)?;
        (entry.team == *team).then_some(entry)
    }

    fn limits_asked(&self, asked: &NewBuild) -> Result<(u32, ByteSize), ControlError> {
        let usual = self.settings.sandbox.limits();
        let bounds = &self.settings.template;
        let cpus = asked.cpus;
        if let Some(cpus) = cpus.filter(|cpus| !(1..=bounds.max_cpus).contains(cpus)) {
            let most = bounds.max_cpus;
            let reason = format!("{cpus} are not between 1 and {most} (setting template.max_cpus)");
            return Err(ControlError::invalid("cpuCount", reason));
        }
        let least = ByteSize::mib(128).max(Limits::MEMORY.0);
        let most = bounds.max_memory;
        if let Some(memory) = asked
            .memory
            .filter(|memory| !(least..=most).contains(memory))
        {
            let reason =
                format!("{memory} is not between {least} and {most} (setting template.max_memory)");
            return Err(ControlError::invalid("memoryMB", reason));
        }
        Ok((
            cpus.map_or(usual.cpu_millis, |cpus| cpus * 1000),
            asked.memory.unwrap_or(usual.memory),
        ))
    }
}

/// The tags that shall lead to a build.
fn tags(reference: &TemplateReference, given: &[String]) -> Result<Vec<String>, ControlError> {
    let mut tags = check_tags(given)?;
    tags.extend(reference.tag.clone());
    if tags.is_empty() {
        tags.push(TemplateReference::DEFAULT_TAG.to_owned());
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

/// Tags as clients give them.
pub(super) fn check_tags(given: &[String]) -> Result<Vec<String>, ControlError> {
    if given.len() > MOST_TAGS {
        let reason = format!("a template has at most {MOST_TAGS}");
        return Err(ControlError::invalid("tags", reason));
    }
    let tags = given
        .iter()
        .map(|tag| template_tag(&tag.trim().to_ascii_lowercase()));
    tags.collect::<Result<_, _>>()
        .map_err(|error| ControlError::invalid("tags", error.to_string()))
}

fn on_disk(id: &TemplateId, build: &BuildId) -> Result<TemplateName, ControlError> {
    id.on_disk(build)
        .map_err(|error| ControlError::invalid("name", error.to_string()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut random = [0; N];
    // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_from_the_name_and_the_list() {
        let of = |name: &str, given: &[&str]| {
            let given: Vec<_> = given.iter().map(|tag| (*tag).to_owned()).collect();
            tags(&name.parse().unwrap(), &given).ok()
        };
        let some = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        assert_eq!(of("a", &[]), some(&["default"]));
        assert_eq!(of("a:v1", &[]), some(&["v1"]));
        assert_eq!(
            of("a:v1", &["V2", "v1", "default"]),
            some(&["default", "v1", "v2"])
        );
        assert_eq!(of("a", &["no tag"]), None);
        assert_eq!(of("a", &[""]), None);
    }
}
