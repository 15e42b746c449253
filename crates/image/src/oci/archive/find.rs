//! Which files of an archive make the image: what OCI's index says, or Docker's `manifest.json`.

use super::files::Files;
use super::import::ImportError;
use crate::oci::config::{ImageConfig, MAX_CONFIG};
use crate::oci::digest::Digest;
use crate::oci::manifest::{
    Descriptor, Document, MAX_LAYERS, MAX_MANIFEST, ManifestError, OCI_INDEX,
};
use crate::oci::platform::Platform;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The indexes that may lead to one another.
const MAX_INDEXES: usize = 4;
/// What names an image in an index, the better first.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];

/// An image in an archive.
#[derive(Debug)]
pub(super) struct Found {
    /// What the archive calls it.
    pub(super) name: Option<String>,
    pub(super) config: ImageConfig,
    /// The files with its layers, the lowest first.
    pub(super) layers: Vec<String>,
}

/// Finds the image for a machine, the one called `wanted` if there are several.
pub(super) fn find(
    files: &Files,
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<Found, ImportError> {
    let found = match files.has("index.json") && files.has("oci-layout") {
        true => of_index(files, wanted, platform)?,
        false => of_docker(files, wanted)?,
    };
    found.config.check(platform)?;
    Ok(found)
}

/// One entry of an index, as far as its name goes.
#[derive(Deserialize)]
struct Named {
    digest: Digest,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    manifests: Vec<Named>,
}

fn of_index(
    files: &Files,
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<Found, ImportError> {
    let content = files.read("index.json", MAX_MANIFEST)?;
    let names: Names = serde_json::from_slice(&content).map_err(ManifestError::from)?;
    let name_of = |named: &Named| {
        let annotations = named.annotations.as_ref()?;
        NAMES
            .iter()
            .find_map(|name| annotations.get(*name).cloned())
    };
    let mut document = Document::parse(Some(OCI_INDEX), &content)?;
    if let (Some(wanted), Document::Index(index)) = (wanted, &mut document) {
        let called: Vec<Digest> = names
            .manifests
            .iter()
            .filter(|named| {
                let all = named.annotations.iter().flat_map(BTreeMap::values);
                all.into_iter().any(|name| name == wanted)
            })
            .map(|named| named.digest)
            .collect();
        index.manifests.retain(|part| called.contains(&part.digest));
        if index.manifests.is_empty() {
            let there = names.manifests.iter().filter_map(name_of).take(20);
            return Err(ImportError::Name {
                wanted: wanted.to_owned(),
                there: there.collect::<Vec<_>>().join(", "),
            });
        }
    }
    let mut name = None;
    for _ in 0..MAX_INDEXES {
        let index = match document {
            Document::Index(index) => index,
            Document::Manifest(manifest) => {
                let config = blob(files, &manifest.config, MAX_CONFIG)?;
                let config = ImageConfig::parse(&config, manifest.layers.len())?;
                let layers = manifest.layers.iter().map(|layer| place(&layer.digest));
                return Ok(Found {
                    name,
                    config,
                    layers: layers.collect(),
                });
            }
        };
        let chosen = index.choose(platform)?;
        let called = names
            .manifests
            .iter()
            .find(|named| named.digest == chosen.digest);
        name = name.or(called.and_then(name_of));
        let content = blob(files, chosen, MAX_MANIFEST)?;
        document = Document::parse(Some(&chosen.media_type), &content)?;
    }
    Err(ImportError::Deep)
}

fn place(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A part of the image that is what its digest says.
fn blob(files: &Files, part: &Descriptor, limit: u64) -> Result<Vec<u8>, ImportError> {
    let content = files.read(&place(&part.digest), limit)?;
    checked(content, &part.digest)
}

fn checked(content: Vec<u8>, wanted: &Digest) -> Result<Vec<u8>, ImportError> {
    let is = Digest::of(&content);
    if is != *wanted {
        let wanted = *wanted;
        return Err(ImportError::Content { wanted, is });
    }
    Ok(content)
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn of_docker(files: &Files, wanted: Option<&str>) -> Result<Found, ImportError> {
    if !files.has("manifest.json") {
        return Err(ImportError::NoImage);
    }
    let content = files.read("manifest.json", MAX_MANIFEST)?;
    let saved: Vec<Saved> = serde_json::from_slice(&content).map_err(ManifestError::from)?;
    let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
    let mut all = saved.iter();
    let chosen = match wanted {
        Some(wanted) => all.find(|saved| tags(saved).iter().any(|tag| tag == wanted)),
        None => all.next(),
    };
    let Some(chosen) = chosen else {
        let there: Vec<_> = saved.iter().flat_map(tags).take(20).collect();
        return Err(ImportError::Name {
            wanted: wanted.unwrap_or_default().to_owned(),
            there: there.join(", "),
        });
    };
    if chosen.layers.len() > MAX_LAYERS {
        return Err(ManifestError::Layers(chosen.layers.len()).into());
    }
    let config = files.read(&chosen.config, MAX_CONFIG)?;
    // Docker calls it by its digest, in one of two ways.
    let name = chosen.config.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    let config = match format!("sha256:{name}").parse() {
        Ok(digest) => checked(config, &digest)?,
        Err(_) => config,
    };
    Ok(Found {
        name: tags(chosen).into_iter().next(),
        config: ImageConfig::parse(&config, chosen.layers.len())?,
        layers: chosen.layers.clone(),
    })
}
