//! An image from a file or a directory: its layers, into the store of layers.
//!
//! Taken are archives and directories as OCI describes them, what `docker save` writes, each plain
//! or packed by gzip or zstd, and any other directory: its files are the only layer then.

use super::files::Files;
use super::find::{Found, find};
use super::plain;
use crate::layer_store::{HeldLayer, LayerError, LayerId, LayerStore};
use crate::oci::config::{ConfigError, ImageConfig, RootFs};
use crate::oci::digest::Digest;
use crate::oci::manifest::ManifestError;
use crate::oci::pack::{PackError, TreeOf, pack};
use crate::oci::platform::Platform;
use crate::oci::unpack::{UnpackError, UnpackLimits, unpack};
use crate::staging::make_private;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why an image was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
    /// It is no archive.
    #[error("cannot read the archive {path}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why not.
        source: UnpackError,
    },
    /// There is no image in it.
    #[error(
        "there is no image in it: neither OCI's oci-layout and index.json nor Docker's manifest.json"
    )]
    NoImage,
    /// No image is called so.
    #[error("no image in it is called {wanted:?}; there are: {there}")]
    Name {
        /// What was wanted.
        wanted: String,
        /// The names that there are.
        there: String,
    },
    /// A file that is named is not there.
    #[error("{path} has no file {name:?}, which belongs to the image")]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The file in it.
        name: String,
    },
    /// A file is longer than any of its kind.
    #[error("{name:?} is longer than {limit} bytes")]
    Long {
        /// The file.
        name: String,
        /// How long it may be.
        limit: u64,
    },
    /// Indexes lead to indexes.
    #[error("the image's index leads to too many others")]
    Deep,
    /// Content is not what it is called by.
    #[error("a part of the image is {is}, and was to be {wanted}")]
    Content {
        /// What it is called by.
        wanted: Digest,
        /// What it is.
        is: Digest,
    },
    /// Its manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A layer cannot be unpacked.
    #[error("layer {number} of the image cannot be unpacked")]
    Unpack {
        /// Which, from 1.
        number: usize,
        /// Why not.
        source: UnpackError,
    },
    /// A directory cannot be made a layer.
    #[error("cannot read the directory {path}")]
    Pack {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: PackError,
    },
    /// A layer cannot be put into the store.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Somebody asked to stop.
    #[error("the import was stopped")]
    Stopped,
}

impl ImportError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// What is imported, and by whose will it ends early.
#[derive(Debug)]
pub struct Import<'a> {
    /// The file or directory.
    pub from: &'a Path,
    /// What the image is called in it, where there are several.
    pub called: Option<&'a str>,
    /// The machine that it is for.
    pub platform: &'a Platform,
    /// The store of templates, below which the layers are.
    pub templates: &'a Path,
    /// Set: nothing more is done.
    pub stop: Arc<AtomicBool>,
}

/// An image whose layers are in the store.
#[derive(Debug)]
pub struct Imported {
    /// What the archive calls it.
    pub name: Option<String>,
    /// What it says about its processes.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<HeldLayer>,
}

impl Import<'_> {
    /// Does it. `tell` hears how many layers of how many are there.
    ///
    /// # Errors
    /// [`ImportError`]; of what was begun, whole layers may stay in the store.
    pub fn run(&self, tell: &(dyn Fn(usize, usize) + Sync)) -> Result<Imported, ImportError> {
        let done = self.go(tell);
        match done {
            Err(_) if self.stop.load(Ordering::Relaxed) => Err(ImportError::Stopped),
            done => done,
        }
    }

    fn go(&self, tell: &(dyn Fn(usize, usize) + Sync)) -> Result<Imported, ImportError> {
        let about = std::fs::metadata(self.from).map_err(ImportError::read(self.from))?;
        make_private(self.templates).map_err(ImportError::read(self.templates))?;
        let files = match about.is_dir() {
            true => Files::of_directory(self.from)?,
            false => Files::of_archive(self.from, self.templates, |file| {
                Box::new(self.watched(file))
            })?,
        };
        let image = ["oci-layout", "manifest.json"];
        if about.is_dir() && !image.iter().any(|name| files.has(name)) {
            return self.directory(tell);
        }
        let found = find(&files, self.called, self.platform)?;
        self.layers(&files, found, tell)
    }

    fn layers(
        &self,
        files: &Files,
        found: Found,
        tell: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Imported, ImportError> {
        let store = LayerStore::new(self.templates);
        let mut limits = UnpackLimits::default();
        let (made_by, all) = (found.config.made_by(), found.layers.len());
        let mut layers = Vec::new();
        let parts = found.layers.iter().zip(&found.config.rootfs.diff_ids);
        for (number, ((name, diff), made_by)) in parts.zip(&made_by).enumerate() {
            tell(number, all);
            let id = LayerId::of_diff(diff.bytes());
            if let Some(there) = store.hold(&id)? {
                layers.push(there);
                continue;
            }
            let new = store.begin()?;
            let failed = |source| ImportError::Unpack {
                number: number + 1,
                source,
            };
            let read = |source| failed(UnpackError::Read(source));
            let stream = plain(self.watched(files.stream(name)?)).map_err(read)?;
            let mut hashed = Hashed::new(stream);
            let done = unpack(&mut hashed, new.tree(), &limits).map_err(failed)?;
            limits.bytes -= done.bytes;
            let is = hashed.end().map_err(read)?;
            if is != *diff {
                let wanted = *diff;
                return Err(ImportError::Content { wanted, is });
            }
            layers.push(new.publish(&id, made_by)?);
        }
        tell(all, all);
        Ok(Imported {
            name: found.name,
            config: found.config,
            layers,
        })
    }

    /// A directory that is no image becomes one of one layer.
    fn directory(&self, tell: &(dyn Fn(usize, usize) + Sync)) -> Result<Imported, ImportError> {
        tell(0, 1);
        let store = LayerStore::new(self.templates);
        let new = store.begin()?;
        let (reader, writer) = io::pipe().map_err(ImportError::read(self.from))?;
        let kind = match rustix::process::geteuid().is_root() {
            true => TreeOf::Owners,
            false => TreeOf::Roots,
        };
        let (packed, is) = std::thread::scope(|scope| {
            let packing = scope.spawn(|| {
                let mut writer = BufWriter::with_capacity(super::BUFFER, writer);
                pack(self.from, kind, &mut writer)
            });
            let mut hashed = Hashed::new(self.watched(reader));
            let failed = |source| ImportError::Unpack { number: 1, source };
            let unpacked = unpack(&mut hashed, new.tree(), &UnpackLimits::default());
            let is = unpacked.map_err(failed).and_then(|_| {
                let end = hashed.end();
                end.map_err(|source| failed(UnpackError::Read(source)))
            });
            // Nobody reads any more: what is still being written ends.
            drop(hashed);
            (packing.join(), is)
        });
        let pack_failed = |source| ImportError::Pack {
            path: self.from.to_owned(),
            source,
        };
        match packed {
            // Then the other side tells why.
            Ok(Err(PackError::Write(_))) if is.is_err() => {}
            Ok(packed) => {
                packed.map_err(pack_failed)?;
            }
            Err(_) => return Err(ImportError::Stopped),
        }
        let is = is?;
        let made_by = format!("import {}", self.from.display());
        let layer = new.publish(&LayerId::of_diff(is.bytes()), &made_by)?;
        tell(1, 1);
        let platform = self.platform.clone();
        Ok(Imported {
            name: None,
            config: ImageConfig {
                architecture: platform.architecture,
                os: platform.os,
                variant: platform.variant,
                rootfs: RootFs {
                    kind: "layers".into(),
                    diff_ids: vec![is],
                },
                ..ImageConfig::default()
            },
            layers: vec![layer],
        })
    }

    /// A reader that ends when somebody asks for it.
    fn watched<R: Read>(&self, inner: R) -> Watched<R> {
        Watched {
            inner,
            stop: Arc::clone(&self.stop),
        }
    }
}

struct Watched<R> {
    inner: R,
    stop: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        self.inner.read(into)
    }
}

/// Hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Self {
        let hash = Sha256::new();
        Self { inner, hash }
    }

    /// The digest of everything, of which the rest is read now.
    fn end(&mut self) -> io::Result<Digest> {
        io::copy(self, &mut io::sink())?;
        let hash = std::mem::take(&mut self.hash);
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}
