//! Which template a client means.

use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{TeamId, TemplateName};
use std::sync::Arc;

/// The template that clients name who name none.
const BASE: &str = "base";

/// A template that sandboxes can be made from.
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
    /// How many sandboxes of the one who asks live in it.
    pub live: usize,
}

impl Control {
    /// The templates that a team can make sandboxes from, by name.
    ///
    /// # Errors
    /// The templates cannot be read.
    pub async fn templates_of(
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

    fn read_templates(&self) -> Result<Vec<TemplateView>, ControlError> {
        let host = TemplateName::host();
        if self.settings.server.allow_host_template {
            // Made at its first use, which may not have been yet.
            self.templates.get(&host).map_err(ControlError::Templates)?;
        }
        let listed = self.templates.list().map_err(ControlError::Templates)?;
        let mut all = Vec::with_capacity(listed.len());
        for one in listed {
            let usable = self.template(one.name.as_str()).is_ok();
            match one.record {
                Ok(record) if usable => all.push(TemplateView {
                    names: vec![one.name.clone()],
                    name: one.name,
                    created: record.created,
                    recipe: record.recipe,
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
            && self.template(BASE).is_ok_and(|name| name == host)
            && let Some(view) = all.iter_mut().find(|view| view.name == host)
        {
            view.names.push(base);
        }
        Ok(all)
    }

    /// The template of a name as clients write it: `name`, `name:tag`, `namespace/name`.
    ///
    /// # Errors
    /// [`ControlError::NoTemplate`]; [`ControlError::TemplateNotReady`] while it is being built.
    pub fn template(&self, text: &str) -> Result<TemplateName, ControlError> {
        let missing = || ControlError::NoTemplate(text.chars().take(100).collect());
        let name = text
            .strip_suffix(":default")
            .or_else(|| text.strip_suffix(":latest"))
            .unwrap_or(text);
        let name: TemplateName = name.parse().map_err(|_| missing())?;
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

    /// Notes that a template is being built, until what this gives is dropped.
    pub fn building(self: &Arc<Self>, name: TemplateName) -> Building {
        self.set_being_built(name.clone(), true);
        Building {
            control: Arc::clone(self),
            name,
        }
    }
}

/// A template that is being built.
pub struct Building {
    control: Arc<Control>,
    name: TemplateName,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.control.set_being_built(self.name.clone(), false);
    }
}
