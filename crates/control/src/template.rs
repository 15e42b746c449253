//! Which template a client means.
//!
//! There are those of the server, which its operator made on the command line and every team uses by their names, and
//! those that teams made through the server (see [`crate::templates`]).
//!
//! | As it is written | What it means |
//! |---|---|
//! | `name`, `name:tag` | the team's own of that name, else the server's |
//! | `<id>`, `<id>:tag` | the team's own, or a public one of another team |
//! | `team/name`, `team/name:tag` | that team's: the own one, or a public one |

use crate::control::Control;
use crate::error::ControlError;
use crate::templates::record::{BuildRecord, BuildStatus, TemplateEntry};
use soulbox_model::id::IdError;
use soulbox_model::{
    BuildId, ByteSize, Limits, SandboxRecord, TeamId, TemplateId, TemplateName, TemplateReference,
};
use std::sync::Arc;

/// The template that clients name who name none.
const BASE: &str = "base";

/// A template as it was found.
#[derive(Debug, Clone)]
pub enum Found {
    /// One that a team made.
    Made(Arc<TemplateEntry>),
    /// One that the server has.
    OfServer(TemplateName),
}

impl Found {
    /// What is kept of it, if a team made it.
    pub fn entry(self) -> Option<Arc<TemplateEntry>> {
        match self {
            Self::Made(entry) => Some(entry),
            Self::OfServer(_) => None,
        }
    }
}

/// A template of the server that sandboxes can be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateView {
    /// Its name.
    pub name: TemplateName,
    /// The names by which it can be asked for: its own, and `base` if it stands in for that.
    pub names: Vec<TemplateName>,
    /// When it was made, such as `2026-01-31T12:00:00Z`.
    pub created: String,
    /// SHA-256 of its recipe, in hex, if it has one.
    pub recipe: Option<String>,
    /// What it takes on disk.
    pub size: ByteSize,
    /// How many sandboxes of the one who asks live in it.
    pub live: usize,
}

/// The usual limits with what a build gives its sandboxes.
pub(crate) fn limits(usual: Limits, build: &BuildRecord) -> Limits {
    Limits {
        cpu_millis: build.cpu_millis,
        memory: build.memory,
        memory_max: match usual.memory_max > usual.memory {
            true => usual.memory_max.max(build.memory),
            false => build.memory,
        },
        ..usual
    }
}

/// A name as clients write it; letters may be capitals.
pub(crate) fn reference(text: &str) -> Result<TemplateReference, IdError> {
    text.trim().to_ascii_lowercase().parse()
}

impl Control {
    /// The templates of the server, by name.
    ///
    /// # Errors
    /// The templates cannot be read.
    pub async fn templates_of_server(
        self: &Arc<Self>,
        team: &TeamId,
    ) -> Result<Vec<TemplateView>, ControlError> {
        let control = Arc::clone(self);
        let read = move || control.read_templates();
        let read = tokio::task::spawn_blocking(read).await;
        let mut all = read.unwrap_or(Err(ControlError::Stopping))?;
        for live in self.all() {
            live.look(|record| {
                let view = all.iter_mut().find(|view| view.name == record.template);
                if let Some(view) = view.filter(|_| record.team == *team) {
                    view.live += 1;
                }
            });
        }
        Ok(all)
    }

    /// The templates that a team made, by name.
    pub fn templates_of_team(&self, team: &TeamId) -> Vec<TemplateEntry> {
        let all = self.made.book.of_team(team);
        all.iter().map(|entry| self.counted(entry)).collect()
    }

    /// A template with the sandboxes that were made of it.
    pub fn counted(&self, entry: &TemplateEntry) -> TemplateEntry {
        let (spawned, last_spawned) = self.made.book.count_of(entry);
        TemplateEntry {
            spawned,
            last_spawned,
            ..entry.clone()
        }
    }

    fn read_templates(&self) -> Result<Vec<TemplateView>, ControlError> {
        let host = TemplateName::host();
        if self.settings.server.allow_host_template {
            // Made at its first use, which may not have been yet.
            self.templates.get(&host).map_err(ControlError::Templates)?;
        }
        let listed = self.templates.list().map_err(ControlError::Templates)?;
        let mut all = Vec::with_capacity(listed.len());
        for one in listed {
            let usable = self.of_server(one.name.as_str()).is_ok();
            match one.record {
                Ok(record) if usable => all.push(TemplateView {
                    names: vec![one.name.clone()],
                    name: one.name,
                    created: record.created,
                    recipe: record.recipe,
                    size: record.size,
                    live: 0,
                }),
                Ok(_) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(template = %one.name, error, "a template is not listed");
                }
            }
        }
        if let Ok(base) = BASE.parse::<TemplateName>()
            && self.of_server(BASE).is_ok_and(|name| name == host)
            && let Some(view) = all.iter_mut().find(|view| view.name == host)
        {
            view.names.push(base);
        }
        Ok(all)
    }

    /// The tree that a team means by a name as clients write it.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`]; [`ControlError::TemplateNotReady`] while it is being built.
    pub fn template(&self, team: &TeamId, text: &str) -> Result<TemplateName, ControlError> {
        match self.find_template(team, text) {
            Ok(Found::OfServer(name)) => Ok(name),
            Ok(Found::Made(entry)) => {
                let reference = reference(text).map_err(|_| ControlError::no_template(text))?;
                self.build_for(&entry, reference.tag(), text)
                    .map(|build| build.on_disk.clone())
            }
            // Who may not use it does not learn that it is there.
            Err(ControlError::ForeignTemplate(_)) => Err(ControlError::no_template(text)),
            Err(error) => Err(error),
        }
    }

    fn build_for<'e>(
        &self,
        entry: &'e TemplateEntry,
        tag: &str,
        text: &str,
    ) -> Result<&'e BuildRecord, ControlError> {
        if let Some(build) = entry.tagged(tag) {
            return Ok(build);
        }
        let by_id = tag.parse::<BuildId>().ok();
        let by_id = by_id.and_then(|id| entry.build(&id));
        if let Some(build) = by_id.filter(|build| build.status == BuildStatus::Ready) {
            return Ok(build);
        }
        let mut open = entry.builds.iter().filter(|build| build.status.is_open());
        match open.any(|build| build.tags.iter().any(|wanted| wanted == tag)) {
            true => Err(ControlError::TemplateNotReady(
                text.chars().take(150).collect(),
            )),
            false => Err(ControlError::no_template(text)),
        }
    }

    /// Whether a template that was found has the tag that it was asked for with, or is about to.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`].
    pub fn has_tag(&self, entry: &TemplateEntry, text: &str) -> Result<(), ControlError> {
        let reference = reference(text).map_err(|_| ControlError::no_template(text))?;
        match self.build_for(entry, reference.tag(), text) {
            Ok(_) | Err(ControlError::TemplateNotReady(_)) => Ok(()),
            // A name alone is there as soon as it was asked for.
            Err(_) if reference.tag.is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The template that a team means by a name as clients write it, whatever its tag.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`]; [`ControlError::ForeignTemplate`] for one of another team that is not public;
    /// [`ControlError::TemplateNotReady`] while one of the server is being built.
    pub fn find_template(&self, team: &TeamId, text: &str) -> Result<Found, ControlError> {
        let missing = || ControlError::no_template(text);
        let reference = reference(text).map_err(|_| missing())?;
        let book = &self.made.book;
        let owner = reference.namespace.as_ref().unwrap_or(team);
        let by_name = book.named(owner, &reference.name);
        let by_id = || {
            let id: TemplateId = reference.name.parse().ok()?;
            let found = book.get(&id)?;
            let fits = reference.namespace.as_ref();
            fits.is_none_or(|team| found.team == *team).then_some(found)
        };
        match by_name.or_else(by_id) {
            Some(entry) if entry.team == *team || entry.public => Ok(Found::Made(entry)),
            Some(_) => Err(ControlError::ForeignTemplate(
                text.chars().take(150).collect(),
            )),
            None if reference.namespace.is_some() => Err(missing()),
            None => self.of_server(text).map(Found::OfServer),
        }
    }

    /// The template of the server of a name.
    pub(crate) fn of_server(&self, text: &str) -> Result<TemplateName, ControlError> {
        let missing = || ControlError::no_template(text);
        let name = TemplateName::of_tagged(text).map_err(|_| missing())?;
        // Trees that teams made are found by their records alone.
        if TemplateId::of_build(&name).is_some() {
            return Err(missing());
        }
        let may_use_host = self.settings.server.allow_host_template;
        if name.is_host() {
            return may_use_host.then_some(name).ok_or_else(missing);
        }
        if self.templates.contains(&name) {
            return Ok(name);
        }
        if name.as_str() == BASE && may_use_host {
            return Ok(TemplateName::host());
        }
        match self.is_being_built(&name) {
            true => Err(ControlError::TemplateNotReady(name.to_string())),
            false => Err(missing()),
        }
    }

    /// How clients are told of the template of a sandbox: by its id, and by its name if it still has one.
    pub fn called(&self, name: &TemplateName) -> (String, Option<String>) {
        match TemplateId::of_build(name) {
            Some(id) => {
                let alias = self.made.book.get(&id).map(|entry| entry.name.clone());
                (id.to_string(), alias)
            }
            None => (name.to_string(), Some(name.to_string())),
        }
    }

    /// What sandboxes of a template may use that ask for nothing.
    pub fn limits_of(&self, name: &TemplateName) -> Limits {
        let usual = self.settings.sandbox.limits();
        let made = TemplateId::of_build(name).and_then(|id| self.made.book.get(&id));
        let Some(made) = made else {
            return usual;
        };
        let build = made.builds.iter().find(|build| build.on_disk == *name);
        build.map_or(usual, |build| limits(usual, build))
    }

    /// Counts a sandbox for its template.
    pub(crate) fn count_spawn(&self, record: &SandboxRecord) {
        if let Some(id) = TemplateId::of_build(&record.template) {
            self.made.book.spawned(id);
        }
    }

    /// Notes that a template is being built, until what this gives is dropped.
    pub fn building(self: &Arc<Self>, name: TemplateName) -> Building {
        self.set_being_built(name.clone(), true);
        Building {
            control: Arc::clone(self),
            name,
        }
    }
}

/// A template of the server that is being built.
pub struct Building {
    control: Arc<Control>,
    name: TemplateName,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.control.set_being_built(self.name.clone(), false);
    }
}
