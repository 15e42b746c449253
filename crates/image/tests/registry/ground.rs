//! An image of three layers in a fake registry, and a store to pull it into.

use crate::fake::Fake;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use soulbox_image::layer_store::HeldLayer;
use soulbox_image::oci::digest::Digest;
use soulbox_image::oci::manifest::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use soulbox_image::oci::platform::Platform;
use soulbox_image::oci::reference::Reference;
use soulbox_image::oci::registry::{PullEvent, Registry, RegistryOptions, UnpackFailure};
use soulbox_image::steps::RegistryAuth;
use soulbox_settings::{Fixed, Settings};
use std::error::Error;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Stands in for what makes files: one file with all of it.
pub(crate) fn unpack(tar: &mut dyn Read, tree: &Path) -> Result<(), UnpackFailure> {
    std::io::copy(tar, &mut fs::File::create(tree.join("all"))?)?;
    Ok(())
}

pub(crate) struct Ground {
    pub(crate) fake: Fake,
    pub(crate) options: RegistryOptions,
    /// What is in the layers.
    pub(crate) layers: Vec<Vec<u8>>,
    /// What is downloaded for them.
    pub(crate) blobs: Vec<Digest>,
    pub(crate) directory: tempfile::TempDir,
}

/// Bytes that pack badly, others for each number.
fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut state = number + 1;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (state >> 33).to_le_bytes()[0]
    };
    (0..len).map(|_| byte()).collect()
}

impl Ground {
    pub(crate) async fn new() -> Self {
        Self::of(Fake::start().await)
    }

    /// The image in a registry that runs already.
    pub(crate) fn of(fake: Fake) -> Self {
        let layers: Vec<Vec<u8>> = (0..3).map(|number| noise(number, 1_000_000)).collect();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&layers[0]).unwrap();
        let packed = [
            (format!("{LAYER}+gzip"), gzip.finish().unwrap()),
            (
                format!("{LAYER}+zstd"),
                zstd::encode_all(&layers[1][..], 1).unwrap(),
            ),
            (LAYER.to_owned(), layers[2].clone()),
        ];
        let mut blobs = Vec::new();
        let parts: Vec<_> = packed
            .iter()
            .map(|(kind, blob)| {
                blobs.push(fake.blob(blob));
                json!({"mediaType": kind, "digest": Digest::of(blob), "size": blob.len()})
            })
            .collect();
        let diffs: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": parts,
            "config": {"mediaType": OCI_CONFIG, "digest": fake.blob(&config),
                       "size": config.len()},
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        fake.put("/v2/x/manifests/1", OCI_MANIFEST, &manifest);
        fake.put(
            &format!("/v2/x/manifests/{digest}"),
            OCI_MANIFEST,
            &manifest,
        );
        let offer = |architecture: &str, digest: Digest| {
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": manifest.len(),
                   "platform": {"os": "linux", "architecture": architecture}})
        };
        let index = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": [offer("arm64", Digest::of(b"other")), offer("amd64", digest)],
        });
        fake.put(
            "/v2/x/manifests/many",
            OCI_INDEX,
            index.to_string().as_bytes(),
        );
        let settings = Settings::load(&Fixed::default(), None, &[]).unwrap();
        let options = RegistryOptions {
            stall_timeout: Duration::from_millis(300),
            auth_file: PathBuf::new(),
            ..RegistryOptions::new(&settings.registry, &settings.proxies)
        };
        Self {
            fake,
            options,
            layers,
            blobs,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn name(&self, wanted: &str) -> Reference {
        format!("{}/x:{wanted}", self.fake.address).parse().unwrap()
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.options.clone()).unwrap()
    }

    pub(crate) fn blob_path(&self, layer: usize) -> String {
        format!("/v2/x/blobs/{}", self.blobs[layer])
    }

    /// Pulls, with what happened.
    pub(crate) async fn pull(
        &self,
        wanted: &str,
    ) -> Result<(Vec<HeldLayer>, Vec<PullEvent>), String> {
        self.pull_as(&self.name(wanted), None).await
    }

    pub(crate) async fn pull_as(
        &self,
        name: &Reference,
        auth: Option<&RegistryAuth>,
    ) -> Result<(Vec<HeldLayer>, Vec<PullEvent>), String> {
        let registry = self.registry();
        let platform: Platform = "linux/amd64".parse().unwrap();
        let image = registry
            .resolve(name, auth, &platform)
            .await
            .map_err(|error| told(&error))?;
        let events = Mutex::new(Vec::new());
        let tell = |event| events.lock().unwrap().push(event);
        let templates = self.directory.path().join("templates");
        let pulled = registry.pull(&image, auth, &templates, unpack, &tell).await;
        let held = pulled.map_err(|error| told(&error))?;
        Ok((held, events.into_inner().unwrap()))
    }

    /// What is left of downloads.
    pub(crate) fn parts(&self) -> Vec<u64> {
        let parts = fs::read_dir(self.directory.path().join("templates/.downloads")).unwrap();
        let mut lens: Vec<_> = parts
            .map(|part| part.unwrap().metadata().unwrap().len())
            .collect();
        lens.sort_unstable();
        lens
    }

    pub(crate) fn check(&self, held: &[HeldLayer]) {
        assert_eq!(held.len(), self.layers.len());
        for (held, layer) in held.iter().zip(&self.layers) {
            assert!(
                &fs::read(held.tree.join("all")).unwrap() == layer,
                "{}",
                held.id
            );
        }
    }
}

/// An error with all that led to it.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
