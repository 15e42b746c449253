//! Manifests, which name the parts of an image, and indexes, which name one manifest for each kind
//! of machine. Those of OCI and those of Docker (schema 2) say the same in other media types.
//!
//! What is read here comes from strangers: its size, its counts and its kinds are checked before
//! anything is believed.

use super::digest::Digest;
use super::platform::Platform;
use serde::{Deserialize, Serialize};

/// The longest manifest or index.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// The most layers of an image. Docker's own limit is 127; the root of a sandbox takes 500.
pub const MAX_LAYERS: usize = 500;
/// The most manifests that an index may name.
const MAX_MANIFESTS: usize = 1000;
/// The longest blob that a descriptor may name.
const MAX_BLOB: u64 = 1 << 40;

/// The media types of manifests and indexes.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// See [`OCI_MANIFEST`].
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// See [`OCI_MANIFEST`].
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// See [`OCI_MANIFEST`].
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media types of image configs.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// See [`OCI_CONFIG`].
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Why a manifest is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of the form that the media type promises.
    #[error("the manifest is not as its media type says")]
    Form(#[from] serde_json::Error),
    /// It is something else, or of a kind that is not supported.
    #[error(
        "{0:?} is no kind of manifest that is supported: image manifests and indexes of OCI, and of Docker in schema 2, are"
    )]
    Kind(String),
    /// It says two things about itself.
    #[error("the manifest claims to be two things at once")]
    Ambiguous,
    /// It is an artifact, such as a signature or a chart.
    #[error("this is no image: its config is of media type {0:?}")]
    NoImage(String),
    /// It has too many layers.
    #[error("the image has {0} layers; at most {MAX_LAYERS} are taken")]
    Layers(usize),
    /// The index is too long.
    #[error("the index names {0} manifests; at most {MAX_MANIFESTS} are taken")]
    Manifests(usize),
    /// A layer is packed in a way that is not known.
    #[error(
        "a layer is of media type {0:?}; tar archives are taken, plain or packed by gzip or zstd"
    )]
    LayerKind(String),
    /// A part is said to be larger than any can be.
    #[error("a part of the image is said to have {0} bytes")]
    Size(u64),
    /// No manifest is for the wanted machine.
    #[error("the image is not made for {wanted}; it is for {there}")]
    Platform {
        /// What was wanted.
        wanted: String,
        /// What is there.
        there: String,
    },
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Packing {
    /// What a layer's media type says. Layers "that may not be passed on" are taken as others.
    pub fn of(media_type: &str) -> Option<Self> {
        let layers = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        layers
            .iter()
            .find_map(|layer| match media_type.strip_prefix(layer)? {
                "" => Some(Self::Plain),
                "+gzip" | ".gzip" => Some(Self::Gzip),
                "+zstd" | ".zstd" => Some(Self::Zstd),
                _ => None,
            })
    }
}

/// What names a part of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its hash.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// For which machine, in indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What names the parts of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The config of the image.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// What names one manifest for each kind of machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

/// What a registry gives for a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The manifest of an image.
    Manifest(Manifest),
    /// An index of manifests.
    Index(Index),
}

/// Everything that a manifest or an index may hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a manifest or an index of media type `media_type`: what the registry or the
    /// descriptor said; without it the document itself must say what it is.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(media_type: Option<&str>, content: &[u8]) -> Result<Self, ManifestError> {
        let raw: Raw = serde_json::from_slice(content)?;
        let said = media_type.filter(|said| is_known(said));
        let own = raw.media_type.as_deref();
        if let (Some(said), Some(own)) = (said, own)
            && said != own
        {
            return Err(ManifestError::Ambiguous);
        }
        // One that holds both would be an image to one reader and another one to the next.
        if raw.manifests.is_some() && (raw.layers.is_some() || raw.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let kind = match (said.or(own), &raw) {
            (Some(kind), _) => kind,
            (
                None,
                Raw {
                    manifests: Some(_), ..
                },
            ) => OCI_INDEX,
            (
                None,
                Raw {
                    config: Some(_), ..
                },
            ) => OCI_MANIFEST,
            (None, _) => media_type.unwrap_or_default(),
        };
        let unsupported = || ManifestError::Kind(kind.chars().take(100).collect());
        if raw.schema_version.is_some_and(|version| version != 2) {
            return Err(unsupported());
        }
        match (kind, raw.config, raw.layers, raw.manifests) {
            (OCI_MANIFEST | DOCKER_MANIFEST, Some(config), Some(layers), None) => {
                Ok(Self::Manifest(Manifest::checked(config, layers)?))
            }
            (OCI_INDEX | DOCKER_LIST, None, None, Some(manifests)) => {
                if manifests.len() > MAX_MANIFESTS {
                    return Err(ManifestError::Manifests(manifests.len()));
                }
                Ok(Self::Index(Index { manifests }))
            }
            _ => Err(unsupported()),
        }
    }
}

fn is_known(media_type: &str) -> bool {
    matches!(
        media_type,
        OCI_MANIFEST | OCI_INDEX | DOCKER_MANIFEST | DOCKER_LIST
    )
}

impl Manifest {
    fn checked(config: Descriptor, layers: Vec<Descriptor>) -> Result<Self, ManifestError> {
        if layers.len() > MAX_LAYERS {
            return Err(ManifestError::Layers(layers.len()));
        }
        if !matches!(config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            return Err(ManifestError::NoImage(shown(&config.media_type)));
        }
        for layer in &layers {
            if Packing::of(&layer.media_type).is_none() {
                return Err(ManifestError::LayerKind(shown(&layer.media_type)));
            }
        }
        let sizes = layers.iter().map(|layer| layer.size);
        let size = sizes.max().unwrap_or_default().max(config.size);
        if size > MAX_BLOB {
            return Err(ManifestError::Size(size));
        }
        Ok(Self { config, layers })
    }
}

/// What a stranger wrote, cut for an error message.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Index {
    /// The manifest, or the further index, for a machine: the best of those that run there.
    ///
    /// # Errors
    /// [`ManifestError::Platform`] when there is none.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, ManifestError> {
        let offers = self
            .manifests
            .iter()
            .filter(|offer| is_known(&offer.media_type));
        let mut best: Option<(u32, &Descriptor)> = None;
        for offer in offers.clone() {
            let rank = match &offer.platform {
                Some(platform) => wanted.rank(platform),
                // An index of one image need not say for whom.
                None => (self.manifests.len() == 1).then_some(0),
            };
            // The first of equals counts.
            if let Some(rank) = rank
                && best.is_none_or(|(best, _)| rank > best)
            {
                best = Some((rank, offer));
            }
        }
        if let Some((_, offer)) = best {
            return Ok(offer);
        }
        let there: Vec<String> = offers
            .filter_map(|offer| offer.platform.as_ref())
            // What build tools attach says `unknown/unknown`.
            .filter(|platform| platform.os != "unknown")
            .map(|platform| shown(&platform.to_string()))
            .take(20)
            .collect();
        Err(ManifestError::Platform {
            wanted: wanted.to_string(),
            there: match there.as_slice() {
                [] => "no machine that it names".to_owned(),
                some => some.join(", "),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn part(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    fn manifest() -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(OCI_CONFIG),
               "layers": [part(LAYER)], "annotations": {"more": "is ignored"}})
    }

    fn parse(said: Option<&str>, value: &Value) -> Result<Document, ManifestError> {
        Document::parse(said, value.to_string().as_bytes())
    }

    #[test]
    fn manifests_of_both_kinds_are_read() {
        let oci = parse(Some(OCI_MANIFEST), &manifest()).unwrap();
        let Document::Manifest(read) = &oci else {
            panic!("{oci:?}")
        };
        assert_eq!((read.layers.len(), read.config.size), (1, 1));
        let mut silent = manifest();
        silent.as_object_mut().unwrap().remove("mediaType");
        assert_eq!(parse(None, &silent).unwrap(), oci);
        // Some registries serve everything as plain JSON.
        assert_eq!(parse(Some("application/json"), &manifest()).unwrap(), oci);
        let docker = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
            "config": part(DOCKER_CONFIG),
            "layers": [part("application/vnd.docker.image.rootfs.diff.tar.gzip")]});
        assert!(matches!(
            parse(Some(DOCKER_MANIFEST), &docker),
            Ok(Document::Manifest(_))
        ));
    }

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let both = json!({"schemaVersion": 2, "config": part(OCI_CONFIG), "layers": [],
                          "manifests": []});
        for (said, value) in [
            (Some(OCI_MANIFEST), &both),
            (None, &both),
            (Some(OCI_INDEX), &manifest()),
            (Some(DOCKER_MANIFEST), &manifest()),
        ] {
            let refused = parse(said, value).unwrap_err();
            assert!(matches!(refused, ManifestError::Ambiguous), "{refused}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        let with = |name: &str, value: Value| {
            let mut changed = manifest();
            changed[name] = value;
            parse(None, &changed).unwrap_err().to_string()
        };
        assert!(with("config", part("application/vnd.cncf.helm.config.v1+json")).contains("helm"));
        assert!(with("layers", json!([part("text/plain")])).contains("text/plain"));
        assert!(with("layers", json!(vec![part(LAYER); MAX_LAYERS + 1])).contains("501 layers"));
        assert!(with("schemaVersion", json!(1)).contains("no kind of manifest"));
        let mut vast = part(LAYER);
        vast["size"] = json!(u64::MAX);
        assert!(with("layers", json!([vast])).contains("bytes"));
        vast["size"] = json!(-1);
        assert!(with("layers", json!([vast])).contains("not as its media type"));
        vast = part(LAYER);
        vast["digest"] = json!("sha256:../../../etc/passwd");
        assert!(with("layers", json!([vast])).contains("not as its media type"));
    }

    fn index(platforms: &[&str]) -> Index {
        let manifests: Vec<Value> = platforms
            .iter()
            .map(|platform| {
                let mut offer = part(OCI_MANIFEST);
                offer["digest"] = json!(Digest::of(platform.as_bytes()));
                offer["platform"] = json!(platform.parse::<Platform>().unwrap());
                offer
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        match parse(None, &index).unwrap() {
            Document::Index(index) => index,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_best_for_the_machine_is_chosen() {
        let index = index(&[
            "linux/arm/v6",
            "linux/arm/v7",
            "unknown/unknown",
            "linux/amd64",
        ]);
        let chosen = |wanted: &str| {
            let wanted = wanted.parse().unwrap();
            index.choose(&wanted).map(|offer| offer.digest)
        };
        assert_eq!(chosen("linux/amd64").unwrap(), Digest::of(b"linux/amd64"));
        assert_eq!(chosen("linux/arm/v7").unwrap(), Digest::of(b"linux/arm/v7"));
        assert_eq!(chosen("linux/arm/v6").unwrap(), Digest::of(b"linux/arm/v6"));
        let refused = chosen("linux/s390x").unwrap_err().to_string();
        assert!(
            refused.ends_with("linux/arm/v6, linux/arm/v7, linux/amd64"),
            "{refused}"
        );
    }
}
