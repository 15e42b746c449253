//! A template as an OCI archive, which `skopeo`, `umoci`, `podman load` and `docker load` take.
//!
//! The same template gives the same bytes. Each layer is packed into a file without a name first:
//! what stands before it in the archive is its length and its digest.

use crate::oci::config::{History, ImageConfig, Process, RootFs};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::oci::pack::{PackError, TreeOf, pack};
use crate::oci::platform::Platform;
use crate::record::TemplateRecord;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The level that zstd packs with; its own default.
const ZSTD_LEVEL: i32 = 3;

/// Why a template was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A tree could not be packed.
    #[error("cannot pack the tree {tree}")]
    Pack {
        /// The tree.
        tree: PathBuf,
        /// Why not.
        source: PackError,
    },
    /// A file for a layer could not be made or read.
    #[error("cannot keep a packed layer in {path}")]
    Aside {
        /// The directory.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// Somebody asked to stop.
    #[error("the export was stopped")]
    Stopped,
}

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// By gzip, which everything reads.
    #[default]
    Gzip,
    /// By zstd, which is faster and smaller.
    Zstd,
}

impl Packing {
    fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// What is exported.
#[derive(Debug)]
pub struct Export<'a> {
    /// What is known about the template.
    pub record: &'a TemplateRecord,
    /// Its trees, the lowest first.
    pub trees: &'a [PathBuf],
    /// How layers are packed.
    pub packing: Packing,
    /// Where packed layers may be kept meanwhile.
    pub aside: &'a Path,
    /// Set: nothing more is done.
    pub stop: &'a AtomicBool,
}

/// A packed layer.
struct Layer {
    file: File,
    part: Descriptor,
    diff: Digest,
}

impl Export<'_> {
    /// Writes the archive. `tell` hears how many layers of how many are packed.
    ///
    /// # Errors
    /// [`ExportError`]; what was written until then is no archive.
    pub fn run(
        &self,
        out: &mut dyn Write,
        tell: &dyn Fn(usize, usize),
    ) -> Result<Digest, ExportError> {
        let done = self.go(out, tell);
        match done {
            Err(_) if self.stop.load(Ordering::Relaxed) => Err(ExportError::Stopped),
            done => done,
        }
    }

    fn go(&self, out: &mut dyn Write, tell: &dyn Fn(usize, usize)) -> Result<Digest, ExportError> {
        let mut layers = Vec::new();
        for (number, tree) in self.trees.iter().enumerate() {
            tell(number, self.trees.len());
            layers.push(self.layer(tree)?);
        }
        tell(self.trees.len(), self.trees.len());
        let json = |value: &serde_json::Value| value.to_string().into_bytes();
        let config = serde_json::to_vec(&self.config(&layers))
            .map_err(|error| ExportError::Write(error.into()))?;
        let part = |media_type: &str, content: &[u8]| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(content),
            size: content.len() as u64,
            platform: None,
        };
        let parts: Vec<_> = layers.iter().map(|layer| &layer.part).collect();
        let manifest = json(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": part(OCI_CONFIG, &config),
            "layers": parts,
        }));
        let is = Digest::of(&manifest);
        let mut named = json!(part(OCI_MANIFEST, &manifest));
        named["platform"] = json!(Platform::host());
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        let index = json(&json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named],
        }));
        let place = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let places: Vec<_> = parts.iter().map(|part| place(&part.digest)).collect();
        // What `docker load` of before OCI's archives looks for.
        let docker = json(&json!([{
            "Config": place(&Digest::of(&config)),
            "RepoTags": [format!("{}:latest", self.record.name)],
            "Layers": places,
        }]));
        let mut archive = tar::Builder::new(&mut *out);
        let mut add = |name: &str, size: u64, content: &mut dyn io::Read| {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(size);
            archive
                .append_data(&mut header, name, content)
                .map_err(ExportError::Write)
        };
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        for (name, content) in [
            ("oci-layout", &layout[..]),
            ("index.json", &index),
            ("manifest.json", &docker),
            (&place(&is), &manifest),
            (&place(&Digest::of(&config)), &config),
        ] {
            add(name, content.len() as u64, &mut &content[..])?;
        }
        let mut written = std::collections::HashSet::new();
        for layer in &mut layers {
            if !written.insert(layer.part.digest) {
                continue;
            }
            layer.file.rewind().map_err(self.aside())?;
            let mut content = self.watched(&mut layer.file);
            add(&place(&layer.part.digest), layer.part.size, &mut content)?;
        }
        archive.finish().map_err(ExportError::Write)?;
        drop(archive);
        out.flush().map_err(ExportError::Write)?;
        Ok(is)
    }

    fn layer(&self, tree: &Path) -> Result<Layer, ExportError> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.aside, flags, Mode::from_raw_mode(0o600));
        let file = File::from(file.map_err(io::Error::from).map_err(self.aside())?);
        let packed = BufWriter::with_capacity(super::BUFFER, Hashed::new(file));
        let write = |error| ExportError::Pack {
            tree: tree.to_owned(),
            source: PackError::Write(error),
        };
        let (diff, packed) = match self.packing {
            Packing::Gzip => {
                let mut gzip = Hashed::new(GzEncoder::new(packed, Compression::default()));
                self.pack(tree, &mut gzip)?;
                let (diff, _, gzip) = gzip.end();
                (diff, gzip.finish().map_err(write)?)
            }
            Packing::Zstd => {
                let zstd = zstd::Encoder::new(packed, ZSTD_LEVEL).map_err(write)?;
                let mut zstd = Hashed::new(zstd);
                self.pack(tree, &mut zstd)?;
                let (diff, _, zstd) = zstd.end();
                (diff, zstd.finish().map_err(write)?)
            }
        };
        let packed = packed.into_inner();
        let packed = packed.map_err(|error| write(error.into_error()))?;
        let (digest, size, file) = packed.end();
        Ok(Layer {
            file,
            part: Descriptor {
                media_type: self.packing.media_type().to_owned(),
                digest,
                size,
                platform: None,
            },
            diff,
        })
    }

    fn pack(&self, tree: &Path, out: &mut dyn Write) -> Result<(), ExportError> {
        let packed = pack(tree, TreeOf::Layer, &mut self.watched(out));
        packed.map(|_| ()).map_err(|source| ExportError::Pack {
            tree: tree.to_owned(),
            source,
        })
    }

    fn config(&self, layers: &[Layer]) -> ImageConfig {
        let (record, platform) = (self.record, Platform::host());
        let variables = record.env.iter();
        let workdir = record.workdir.as_ref();
        let history = layers.iter().map(|_| History {
            created: Some(record.created.clone()),
            created_by: Some(format!("soulbox template {}", record.name)),
            empty_layer: false,
        });
        ImageConfig {
            created: Some(record.created.clone()),
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: Process {
                user: record.user.clone(),
                env: variables
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                entrypoint: record
                    .start
                    .iter()
                    .flat_map(|start| start.command.clone())
                    .collect(),
                working_dir: workdir.map_or_else(String::new, |path| path.display().to_string()),
                ..Process::default()
            },
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.diff).collect(),
            },
            history: history.collect(),
        }
    }

    fn aside(&self) -> impl FnOnce(io::Error) -> ExportError + use<> {
        let path = self.aside.to_owned();
        move |source| ExportError::Aside { path, source }
    }

    fn watched<T>(&self, inner: T) -> Watched<'_, T> {
        Watched {
            inner,
            stop: self.stop,
        }
    }
}

/// Ends when somebody asks for it.
struct Watched<'a, T> {
    inner: T,
    stop: &'a AtomicBool,
}

impl<T> Watched<'_, T> {
    fn look(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("stopped")),
            false => Ok(()),
        }
    }
}

impl<T: Write> Write for Watched<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: io::Read> io::Read for Watched<'_, T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.look()?;
        self.inner.read(into)
    }
}

/// Hashes and counts what is written.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    fn end(self) -> (Digest, u64, W) {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        (digest, self.bytes, self.inner)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
