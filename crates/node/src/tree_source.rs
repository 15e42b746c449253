//! The trees that a template consists of.

use soulbox_image::host::{HostError, HostRoot};
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
    /// The template `host` cannot be made.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The engine was stopped while the template `host` was being made.
    #[error("the engine was stopped while it made the template host")]
    Interrupted,
    /// Its path is not valid UTF-8.
    #[error("the template's path {0:?} is not valid UTF-8")]
    Text(PathBuf),
}

/// Makes the template `host` below `data_dir` unless it is there and true.
///
/// # Errors
/// [`TreeError::Host`].
pub async fn prepare_host(data_dir: &Path) -> Result<(), TreeError> {
    let target = data_dir.join("templates").join(TemplateName::HOST);
    let prepare = move || -> Result<(), HostError> {
        soulbox_image::host::prepare(&target, &HostRoot::new()?).map(drop)
    };
    match tokio::task::spawn_blocking(prepare).await {
        Ok(prepared) => Ok(prepared?),
        Err(_) => Err(TreeError::Interrupted),
    }
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
