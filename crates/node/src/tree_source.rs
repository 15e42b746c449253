//! The trees that sandboxes of a template are made of, held while an engine uses them.

use crate::template::{Template, TemplateError, TemplateStore};
use soulbox_model::TemplateName;
use soulbox_wire::spawner::{Ids, Layer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tree of the host that the template `host` shows.
pub(crate) const HOST_TREE: &str = "/usr";

/// A template whose trees cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It is not there.
    #[error("there is no template {0}; 'soulbox template ls' shows those there are")]
    Missing(TemplateName),
    /// It cannot be held.
    #[error(transparent)]
    Template(Box<TemplateError>),
    /// Its lock cannot be shared with the spawner.
    #[error("cannot hold the template {name}")]
    Hold {
        /// The template.
        name: TemplateName,
        /// Linux's error.
        #[source]
        source: std::io::Error,
    },
    /// The engine was stopped meanwhile.
    #[error("the engine was stopped while it looked for a template")]
    Interrupted,
    /// Its path is not valid UTF-8.
    #[error("the template's path {0:?} is not valid UTF-8")]
    Text(PathBuf),
}

impl From<TemplateError> for TreeError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Missing { name, .. } => Self::Missing(name),
            error => Self::Template(Box::new(error)),
        }
    }
}

/// The templates that an engine uses. Each is looked up once and again when it was replaced;
/// whoever holds one keeps its tree from being removed.
pub(crate) struct TreeSource {
    store: TemplateStore,
    held: Mutex<HashMap<TemplateName, Arc<Template>>>,
}

impl TreeSource {
    /// The templates below `data_dir`, without what killed builds left.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let store = TemplateStore::new(data_dir);
        if let Err(error) = store.sweep() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot sweep what killed builds of templates left");
        }
        Self {
            store,
            held: Mutex::default(),
        }
    }

    /// Holds a template.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) async fn get(&self, name: &TemplateName) -> Result<Arc<Template>, TreeError> {
        let known = self.held().get(name).cloned();
        if let Some(template) = known.filter(|template| template.is_current()) {
            return Ok(template);
        }
        let (store, wanted) = (self.store.clone(), name.clone());
        let got = tokio::task::spawn_blocking(move || store.get(&wanted)).await;
        Ok(self.hold(got.map_err(|_| TreeError::Interrupted)??))
    }

    /// As [`TreeSource::get`], without letting others go on meanwhile.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn get_now(&self, name: &TemplateName) -> Result<Arc<Template>, TreeError> {
        let known = self.held().get(name).cloned();
        match known.filter(|template| template.is_current()) {
            Some(template) => Ok(template),
            None => Ok(self.hold(self.store.get(name)?)),
        }
    }

    /// Holds a template no more, but for those who have it.
    pub(crate) fn let_go_of(&self, name: &TemplateName) {
        self.held().remove(name);
    }

    /// Notes a template that was looked up. If others looked it up meanwhile, all have the same.
    fn hold(&self, template: Template) -> Arc<Template> {
        let name = template.record.name.clone();
        let mut held = self.held();
        if let Some(known) = held.get(&name).filter(|known| known.is_current()) {
            return Arc::clone(known);
        }
        let template = Arc::new(template);
        held.insert(name, Arc::clone(&template));
        template
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TemplateName, Arc<Template>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layers of a sandbox of a template, the root first. Only root's engine can lay a writable
/// layer over the host's own tree: to others its owners are nobody.
///
/// # Errors
/// [`TreeError::Text`].
pub(crate) fn layers(template: &Template, ids: Ids) -> Result<Vec<Layer>, TreeError> {
    let text = |tree: &Path| -> Result<String, TreeError> {
        let text = tree.to_str().map(str::to_owned);
        text.ok_or_else(|| TreeError::Text(tree.to_owned()))
    };
    let below = template.layers.below.iter().map(|tree| text(tree));
    let mut layers = vec![Layer {
        tree: text(&template.layers.rootfs)?,
        below: below.collect::<Result<_, _>>()?,
        at: "/".to_owned(),
        read_only: false,
    }];
    if let Some(usr) = &template.layers.usr {
        layers.push(Layer {
            tree: text(usr)?,
            below: Vec::new(),
            at: HOST_TREE.to_owned(),
            read_only: !matches!(ids, Ids::Machine { .. }),
        });
    }
    Ok(layers)
}
