//! The trees that a template consists of.

use soulbox_model::TemplateName;
use soulbox_wire::spawner::Layer;
use std::path::{Path, PathBuf};

/// The tree of the host that the template `host` shows.
pub(crate) const HOST_TREE: &str = "/usr";

/// A template whose trees cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It is not there.
    #[error("there is no template {0}; 'soulbox template ls' shows those there are")]
    Missing(TemplateName),
    /// Its path is not valid UTF-8.
    #[error("the template's path {0:?} is not valid UTF-8")]
    Text(PathBuf),
}

/// The layers of a template below `data_dir`.
///
/// # Errors
/// [`TreeError`].
pub fn layers(data_dir: &Path, template: &TemplateName) -> Result<Vec<Layer>, TreeError> {
    let tree = data_dir
        .join("templates")
        .join(template.as_str())
        .join("rootfs");
    if !tree.is_dir() {
        return Err(TreeError::Missing(template.clone()));
    }
    let text = tree.to_str().ok_or_else(|| TreeError::Text(tree.clone()))?;
    let mut layers = vec![Layer {
        tree: text.to_owned(),
        at: "/".to_owned(),
    }];
    if template.is_host() {
        layers.push(Layer {
            tree: HOST_TREE.to_owned(),
            at: HOST_TREE.to_owned(),
        });
    }
    Ok(layers)
}
