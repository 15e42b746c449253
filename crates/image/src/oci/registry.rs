//! Getting images from registries.
//!
//! ```text
//! Registry::resolve ─▶ Image (manifest, config) ─▶ Registry::pull ─▶ layers of the store
//! ```
//!
//! | What | File |
//! |---|---|
//! | what the operator says | [`options`] |
//! | connections: TCP, proxies, TLS | `line` |
//! | one request and its answer | `http` |
//! | who we are | `credentials`, `challenge`, `token` |
//! | redirects, mirrors, trying again | `session`, `error` |
//! | manifests and configs | here |
//! | downloads that go on where they ended | `part`, `blob` |
//! | a layer: downloaded, unpacked and published at once | `growing`, `layer` |
//! | all layers of an image | `pull` |
//!
//! Registries are strangers: everything that they say is bounded in size and time, and content
//! counts only when its digest is the one that was asked for.

mod blob;
mod challenge;
mod credentials;
mod error;
mod growing;
mod http;
mod layer;
mod line;
pub mod options;
mod part;
mod pull;
mod session;
mod token;

pub use blob::BlobError;
pub use credentials::CredentialsError;
pub use error::CallError;
pub use http::HttpError;
pub use layer::{LayerProblem, Unpack, UnpackFailure};
pub use line::{LineError, TrustError};
pub use options::{Mirror, RegistryOptions};
pub use part::PartError;
pub use pull::{PullError, PullEvent};

use super::config::{ConfigError, ImageConfig, MAX_CONFIG};
use super::digest::Digest;
use super::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Document, MAX_MANIFEST, Manifest, ManifestError, OCI_INDEX,
    OCI_MANIFEST,
};
use super::platform::Platform;
use super::reference::Reference;
use crate::steps::RegistryAuth;
use ::http::header::ACCEPT;
use ::http::uri::Scheme;
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use session::Session;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An index may name a further index, but not without an end.
const MAX_INDEXES: usize = 3;

/// An image of which it is not known what it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot pull {image}")]
pub struct ResolveError {
    /// The image.
    pub image: Reference,
    /// Why.
    pub source: Box<Unresolved>,
}

/// Why it is not known what an image is.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The registry does not give it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its manifest is not taken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its config is not taken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What came is not what was asked for.
    #[error("what came as {wanted} is {is}")]
    Digest {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        is: Digest,
    },
    /// Its indexes name one another.
    #[error("its index leads to one index after the other")]
    Indexes,
}

/// An image of a registry, known but not here yet.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name, with the digest of what the name stood for.
    pub reference: Reference,
    /// What its manifest names.
    pub manifest: Manifest,
    /// The digest of its config, which names its content whatever it is called.
    pub id: Digest,
    /// What it says about its processes and layers.
    pub config: ImageConfig,
}

/// Registries, as the operator wants them used.
pub struct Registry {
    options: RegistryOptions,
    lines: line::Lines,
    tokens: Mutex<token::Tokens>,
    schemes: Mutex<HashMap<String, Scheme>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Makes ready to ask registries.
    ///
    /// # Errors
    /// [`TrustError`] when a file with certificates cannot be used.
    pub fn new(options: RegistryOptions) -> Result<Self, TrustError> {
        Ok(Self {
            lines: line::Lines::new(&options)?,
            options,
            tokens: Mutex::default(),
            schemes: Mutex::default(),
        })
    }

    /// Asks what an image is: its manifest for a platform, and its config.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(
        &self,
        image: &Reference,
        auth: Option<&RegistryAuth>,
        platform: &Platform,
    ) -> Result<Image, ResolveError> {
        let resolved = self.find(image, auth, platform).await;
        resolved.map_err(|source| ResolveError {
            image: image.clone(),
            source: Box::new(source),
        })
    }

    async fn find(
        &self,
        image: &Reference,
        auth: Option<&RegistryAuth>,
        platform: &Platform,
    ) -> Result<Image, Unresolved> {
        let session = Session::new(self, image, auth);
        let (mut wanted, mut expected) = (image.wanted(), image.digest().copied());
        let mut first = None;
        for _ in 0..MAX_INDEXES {
            let (kind, content) = manifest(&session, image, &wanted, expected).await?;
            let digest = Digest::of(&content);
            first.get_or_insert(digest);
            match Document::parse(kind.as_deref(), &content)? {
                Document::Index(index) => {
                    let chosen = index.choose(platform)?;
                    (wanted, expected) = (chosen.digest.to_string(), Some(chosen.digest));
                }
                Document::Manifest(manifest) => {
                    let config = config(&session, &manifest).await?;
                    config.check(platform)?;
                    return Ok(Image {
                        reference: image.at(first.unwrap_or(digest)),
                        id: manifest.config.digest,
                        manifest,
                        config,
                    });
                }
            }
        }
        Err(Unresolved::Indexes)
    }

    fn times(&self) -> http::Times {
        http::Times {
            connect: self.options.connect_timeout,
            stall: self.options.stall_timeout,
        }
    }

    fn tokens(&self) -> MutexGuard<'_, token::Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manifest or index by the name `wanted`, with its media type.
async fn manifest(
    session: &Session<'_>,
    image: &Reference,
    wanted: &str,
    expected: Option<Digest>,
) -> Result<(Option<String>, Bytes), Unresolved> {
    let kinds = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
    let mut headers = HeaderMap::new();
    if let Ok(kinds) = HeaderValue::from_str(&kinds) {
        headers.insert(ACCEPT, kinds);
    }
    let path = format!("manifests/{wanted}");
    let what = format!("image {image}");
    let got = session.short(&path, &headers, &what, MAX_MANIFEST).await?;
    check(expected.or(got.told), &got.content)?;
    Ok((got.kind, got.content))
}

/// The config that a manifest names.
async fn config(session: &Session<'_>, manifest: &Manifest) -> Result<ImageConfig, Unresolved> {
    let part = &manifest.config;
    let path = format!("blobs/{}", part.digest);
    let what = format!("config {}", part.digest);
    let limit = part.size.min(MAX_CONFIG);
    let got = session
        .short(&path, &HeaderMap::new(), &what, limit)
        .await?;
    check(Some(part.digest), &got.content)?;
    Ok(ImageConfig::parse(&got.content, manifest.layers.len())?)
}

fn check(wanted: Option<Digest>, content: &[u8]) -> Result<(), Unresolved> {
    let is = Digest::of(content);
    match wanted {
        Some(wanted) if wanted != is => Err(Unresolved::Digest { wanted, is }),
        _ => Ok(()),
    }
}
