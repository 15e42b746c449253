//! One layer: downloaded, unpacked and checked at once, then published.

use super::blob::{BlobError, Download};
use super::growing::{Growing, Growth};
use super::part::{Part, PartError};
use super::session::Session;
use crate::layer_store::{HeldLayer, LayerError, LayerId, LayerStore, NewLayer};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Packing};
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much of a packed layer is read at once.
const BUFFER: usize = 64 << 10;
/// The largest window of zstd that is unpacked, as a power of two: what `zstd` itself takes unasked.
const ZSTD_WINDOW: u32 = 27;
/// How often it is looked whether somebody else is done with a layer.
const LOOK: Duration = Duration::from_millis(100);

/// Why files were not unpacked.
pub type UnpackFailure = Box<dyn std::error::Error + Send + Sync>;

/// What makes files below a directory of a layer's tar. It is called on a thread of its own.
pub type Unpack = fn(&mut dyn Read, &Path) -> Result<(), UnpackFailure>;

/// Why a layer is not here.
#[derive(Debug, thiserror::Error)]
pub enum LayerProblem {
    /// It could not be downloaded.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It was not unpacked.
    #[error("its files cannot be unpacked")]
    Unpack(#[source] UnpackFailure),
    /// It is damaged behind its last file.
    #[error("its archive is damaged at the end")]
    End(#[source] io::Error),
    /// It is packed in a way that is not known, or not by the memory that it wants.
    #[error("it cannot be unpacked")]
    Packing(#[source] io::Error),
    /// What was unpacked is not what the image's config says.
    #[error("what is in it is {is}; the config of its image says {wanted}")]
    Content {
        /// What the config says.
        wanted: Digest,
        /// What is in it.
        is: Digest,
    },
    /// It could not be published.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The program ends.
    #[error("the program is ending")]
    Ending,
}

impl From<PartError> for LayerProblem {
    fn from(error: PartError) -> Self {
        Self::Blob(error.into())
    }
}

/// A layer that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What is downloaded.
    pub(super) blob: Descriptor,
    /// The digest of its tar.
    pub(super) diff: Digest,
    /// What made it, for people.
    pub(super) made_by: String,
}

impl Wanted {
    pub(super) fn id(&self) -> LayerId {
        LayerId::of_diff(self.diff.bytes())
    }
}

/// What the pull of one layer needs and tells.
pub(super) struct Pull<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) store: &'a LayerStore,
    pub(super) templates: &'a Path,
    pub(super) unpack: Unpack,
    /// How many bytes all layers together may still have.
    pub(super) room: Arc<AtomicU64>,
    pub(super) more: &'a (dyn Fn(u64) + Send + Sync),
    pub(super) waiting: &'a (dyn Fn() + Send + Sync),
}

impl Pull<'_> {
    /// Makes a layer be here. One that is here already is not downloaded, and one that somebody else
    /// downloads just now is waited for.
    pub(super) async fn layer(&self, wanted: &Wanted) -> Result<HeldLayer, LayerProblem> {
        let mut told = false;
        let part = loop {
            if let Some(there) = self.store.hold(&wanted.id())? {
                return Ok(there);
            }
            if let Some(part) = Part::try_open(self.templates, &wanted.blob.digest)? {
                break Arc::new(part);
            }
            if !std::mem::replace(&mut told, true) {
                (self.waiting)();
            }
            tokio::time::sleep(LOOK).await;
        };
        // It may have been published between the look and the lock.
        if let Some(there) = self.store.hold(&wanted.id())? {
            let _ = Arc::into_inner(part).map(Part::remove);
            return Ok(there);
        }
        let done = match self.attempt(wanted, &part, false).await {
            // What was kept, or what a mirror gave, is something else: once more, all of it.
            Err(LayerProblem::Blob(BlobError::Digest { .. })) => {
                part.cut(0)?;
                self.attempt(wanted, &part, true).await
            }
            done => done,
        };
        let Some(part) = Arc::into_inner(part) else {
            return done;
        };
        match &done {
            // Breaks and full disks: the next pull goes on from here.
            Err(LayerProblem::Blob(error)) if !is_wrong(error) => {}
            Err(LayerProblem::Layer(_) | LayerProblem::Ending) => {}
            _ => part.remove()?,
        }
        done
    }

    async fn attempt(
        &self,
        wanted: &Wanted,
        part: &Arc<Part>,
        own: bool,
    ) -> Result<HeldLayer, LayerProblem> {
        let layer = self.store.begin()?;
        let growth = Growth::default();
        let source = growth.reader(part.file());
        let unpacking = tokio::task::spawn_blocking({
            let (wanted, unpack) = (wanted.clone(), self.unpack);
            let room = Arc::clone(&self.room);
            move || unpack_into(source, &wanted, layer, unpack, room)
        });
        let download = Download {
            session: self.session,
            blob: &wanted.blob,
            part: Arc::clone(part),
            growth: &growth,
            more: self.more,
        };
        let abort = unpacking.abort_handle();
        let mut unpacking = std::pin::pin!(unpacking);
        let unpacked = tokio::select! {
            // A layer that cannot be unpacked need not be downloaded to its end.
            unpacked = unpacking.as_mut() => unpacked,
            done = download.run(own) => {
                drop(download);
                // The thread sees the end of what it reads, good or bad, and comes to its own.
                drop(growth);
                let unpacked = unpacking.await;
                abort.abort();
                done?;
                unpacked
            }
        };
        unpacked.map_err(|_| LayerProblem::Ending)?
    }
}

/// Whether what came is not what it should be, so that it is of no use.
fn is_wrong(error: &BlobError) -> bool {
    matches!(error, BlobError::Digest { .. } | BlobError::Length { .. })
}

/// Unpacks what comes from `source` and publishes it. Runs on a thread of its own.
fn unpack_into(
    source: Growing,
    wanted: &Wanted,
    layer: NewLayer,
    unpack: Unpack,
    room: Arc<AtomicU64>,
) -> Result<HeldLayer, LayerProblem> {
    let source = BufReader::with_capacity(BUFFER, source);
    // The manifest was checked for it.
    let packing = Packing::of(&wanted.blob.media_type).unwrap_or(Packing::Plain);
    let plain: Box<dyn Read> = match packing {
        Packing::Plain => Box::new(source),
        Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
        Packing::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(source);
            let mut decoder = decoder.map_err(LayerProblem::Packing)?;
            decoder
                .window_log_max(ZSTD_WINDOW)
                .map_err(LayerProblem::Packing)?;
            Box::new(decoder)
        }
    };
    let mut hashed = Hashed {
        inner: plain,
        hash: Sha256::new(),
        room,
    };
    unpack(&mut hashed, layer.tree()).map_err(LayerProblem::Unpack)?;
    // What follows the last file counts for the digest too, and only at its end is it known that
    // the download was what it should be.
    io::copy(&mut hashed, &mut io::sink()).map_err(LayerProblem::End)?;
    let is = Digest::from_bytes(hashed.hash.finalize().into());
    if is != wanted.diff {
        let wanted = wanted.diff;
        return Err(LayerProblem::Content { wanted, is });
    }
    Ok(layer.publish(&wanted.id(), &wanted.made_by)?)
}

/// Hashes what is read, and ends when all layers of the image together have too much.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    room: Arc<AtomicU64>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        let taken = read as u64;
        let enough = |left: u64| left.checked_sub(taken);
        let order = Ordering::Relaxed;
        if self.room.fetch_update(order, order, enough).is_err() {
            return Err(io::Error::other(
                "the image is larger than it may be (setting registry.image_size)",
            ));
        }
        self.hash.update(&into[..read]);
        Ok(read)
    }
}
