//! Which template a client means.

use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::TemplateName;

/// The template that clients name who name none.
const BASE: &str = "base";

impl Control {
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
    pub fn building(self: &std::sync::Arc<Self>, name: TemplateName) -> Building {
        self.set_being_built(name.clone(), true);
        Building {
            control: std::sync::Arc::clone(self),
            name,
        }
    }
}

/// A template that is being built.
pub struct Building {
    control: std::sync::Arc<Control>,
    name: TemplateName,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.control.set_being_built(self.name.clone(), false);
    }
}
