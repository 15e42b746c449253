//! All layers of an image, several at once.

use super::layer::{LayerProblem, Pull, Unpack, Wanted};
use super::part::{self, PartError};
use super::session::Session;
use super::{Image, Registry};
use crate::layer_store::{HeldLayer, LayerError, LayerStore, MAX_LAYERS};
use crate::oci::digest::Digest;
use crate::oci::reference::Reference;
use crate::steps::RegistryAuth;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::HashSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why an image is not here.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It has more layers than a template can lie on.
    #[error("{image} has {layers} layers; a template lies on at most {MAX_LAYERS}")]
    Layers {
        /// The image.
        image: Reference,
        /// How many it has.
        layers: usize,
    },
    /// A layer could not be had.
    #[error("cannot pull layer {layer} of {image}")]
    Layer {
        /// The image.
        image: Reference,
        /// The layer.
        layer: Digest,
        /// Why.
        source: Box<LayerProblem>,
    },
    /// The store of layers could not be used.
    #[error(transparent)]
    Store(#[from] LayerError),
    /// What is kept of downloads could not be used.
    #[error(transparent)]
    Part(#[from] PartError),
}

/// What happens in a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEvent {
    /// It began.
    Begun {
        /// Layers of the image.
        layers: usize,
        /// Layers that are here already.
        here: usize,
        /// Bytes to download.
        bytes: u64,
    },
    /// Somebody else downloads a layer that is wanted here too; it is waited for.
    Waiting,
    /// More of the download is here.
    Bytes {
        /// How much in all.
        done: u64,
    },
    /// A layer is here.
    Layer(Digest),
}

/// A layer on its way, with its number.
type Pulling<'a> = Pin<Box<dyn Future<Output = Result<(usize, HeldLayer), PullError>> + Send + 'a>>;

impl Registry {
    /// Gets the layers of an image into the store below `templates`: those that are not there yet,
    /// several at once. Gives them held, the lowest first. Dropped before its end, it leaves
    /// nothing but parts of downloads, with which the next pull goes on.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn pull(
        &self,
        image: &Image,
        auth: Option<&RegistryAuth>,
        templates: &Path,
        unpack: Unpack,
        tell: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Vec<HeldLayer>, PullError> {
        let store = LayerStore::new(templates);
        part::sweep(templates, self.options.parts)?;
        let wanted = wanted(image);
        if wanted.len() > MAX_LAYERS {
            return Err(PullError::Layers {
                image: image.reference.clone(),
                layers: wanted.len(),
            });
        }
        let mut missing = Vec::new();
        for layer in &wanted {
            if store.hold(&layer.id())?.is_none() {
                missing.push(layer.blob.size);
            }
        }
        tell(PullEvent::Begun {
            layers: wanted.len(),
            here: wanted.len() - missing.len(),
            bytes: missing.iter().sum(),
        });
        let done = AtomicU64::new(0);
        let more = |more: u64| {
            let done = done.fetch_add(more, Ordering::Relaxed) + more;
            tell(PullEvent::Bytes { done });
        };
        let waiting = || tell(PullEvent::Waiting);
        let session = Session::new(self, &image.reference, auth);
        let pull = Pull {
            session: &session,
            store: &store,
            templates,
            unpack,
            room: Arc::new(AtomicU64::new(self.options.image_size.bytes())),
            more: &more,
            waiting: &waiting,
        };
        let mut layers: Vec<Pulling<'_>> = Vec::new();
        for (number, layer) in wanted.iter().enumerate() {
            let pull = &pull;
            layers.push(Box::pin(async move {
                let held = pull.layer(layer).await;
                let held = held.map_err(|source| PullError::Layer {
                    image: image.reference.clone(),
                    layer: layer.blob.digest,
                    source: Box::new(source),
                })?;
                tell(PullEvent::Layer(layer.blob.digest));
                Ok((number, held))
            }));
        }
        let layers = stream::iter(layers).buffer_unordered(self.options.downloads.max(1));
        let mut held: Vec<(usize, HeldLayer)> = layers.try_collect().await?;
        held.sort_by_key(|(number, _)| *number);
        store.prune(self.options.layers)?;
        Ok(held.into_iter().map(|(_, layer)| layer).collect())
    }
}

/// The layers of an image, the lowest first. Of one that is there twice only the upper one counts:
/// it holds everything that the lower one does, and overlayfs takes no directory twice.
fn wanted(image: &Image) -> Vec<Wanted> {
    let (blobs, diffs) = (&image.manifest.layers, &image.config.rootfs.diff_ids);
    let made_by = image.config.made_by();
    let mut seen = HashSet::new();
    let mut wanted: Vec<Wanted> = blobs
        .iter()
        .zip(diffs)
        .zip(made_by)
        .rev()
        .filter(|((_, diff), _)| seen.insert(**diff))
        .map(|((blob, diff), made_by)| Wanted {
            blob: blob.clone(),
            diff: *diff,
            made_by,
        })
        .collect();
    wanted.reverse();
    wanted
}
