//! An image of this machine's files, packed in each way.

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;
use soulbox_image::oci::digest::Digest;
use soulbox_image::oci::manifest::{OCI_CONFIG, OCI_MANIFEST};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How layers are packed.
pub(super) const PACKINGS: [&str; 2] = ["gzip", "zstd"];
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image in a directory that a registry can serve.
pub(super) struct Made {
    pub(super) directory: PathBuf,
    /// What its files take together.
    pub(super) bytes: u64,
    /// The blobs of each packing: the file and its length.
    packed: Vec<(&'static str, PathBuf, u64)>,
}

impl Made {
    /// Makes one of `layers` layers of `size` bytes each, of files below `from`.
    pub(super) fn make(place: &Path, from: &Path, layers: u32, size: u64) -> io::Result<Self> {
        fs::create_dir_all(place)?;
        let mut made = Self {
            directory: place.to_owned(),
            bytes: 0,
            packed: Vec::new(),
        };
        let mut files = Files::below(from);
        let mut diffs = Vec::new();
        let mut parts = vec![Vec::new(); PACKINGS.len()];
        for _ in 0..layers {
            let tar = made.tar(&mut files, size)?;
            diffs.push(Digest::of(&tar));
            for (packing, parts) in PACKINGS.into_iter().zip(&mut parts) {
                let blob = pack(packing, &tar)?;
                let digest = made.blob(&blob)?;
                let (path, len) = (place.join(digest.to_string()), blob.len());
                made.packed.push((packing, path, len as u64));
                let kind = format!("{LAYER}+{packing}");
                parts.push(json!({"mediaType": kind, "digest": digest, "size": len}));
            }
        }
        let config = json!({
            "architecture": soulbox_image::oci::platform::Platform::host().architecture,
            "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs},
        });
        let config = config.to_string().into_bytes();
        let digest = made.blob(&config)?;
        for (packing, parts) in PACKINGS.into_iter().zip(parts) {
            let manifest = json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": parts,
                "config": {"mediaType": OCI_CONFIG, "digest": digest, "size": config.len()},
            });
            fs::write(place.join(packing), manifest.to_string())?;
        }
        Ok(made)
    }

    /// The blobs of a packing.
    pub(super) fn blobs(&self, packing: &str) -> Vec<(&'static str, PathBuf)> {
        let of = self.packed.iter().filter(|(name, ..)| *name == packing);
        of.map(|(name, path, _)| (*name, path.clone())).collect()
    }

    /// What is downloaded of a packing.
    pub(super) fn packed(&self, packing: &str) -> u64 {
        let of = self.packed.iter().filter(|(name, ..)| *name == packing);
        of.map(|(.., len)| len).sum()
    }

    fn blob(&self, content: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(content);
        fs::write(self.directory.join(digest.to_string()), content)?;
        Ok(digest)
    }

    /// A tar of the next files, as many as fit.
    fn tar(&mut self, files: &mut Files, size: u64) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut bytes = 0;
        while bytes < size {
            let Some((path, content)) = files.next_file() else {
                break;
            };
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            bytes += content.len() as u64;
            let path = path.strip_prefix("/").unwrap_or(&path);
            tar.append_data(&mut header, path, &content[..])?;
        }
        self.bytes += bytes;
        tar.into_inner()
    }
}

fn pack(packing: &str, tar: &[u8]) -> io::Result<Vec<u8>> {
    match packing {
        "zstd" => zstd::encode_all(tar, 3),
        _ => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(tar)?;
            gzip.finish()
        }
    }
}

/// Unpacks blobs on so many threads and throws away what comes out.
pub(super) fn unpack_alone(
    blobs: &[(&'static str, PathBuf)],
    threads: usize,
) -> io::Result<Duration> {
    let begun = Instant::now();
    let left: Mutex<VecDeque<_>> = Mutex::new(blobs.iter().collect());
    let work = || -> io::Result<()> {
        loop {
            let next = left
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .pop_front();
            let Some((packing, path)) = next else {
                return Ok(());
            };
            let file = BufReader::with_capacity(64 << 10, File::open(path)?);
            let mut plain: Box<dyn Read> = match *packing {
                "zstd" => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
                _ => Box::new(MultiGzDecoder::new(file)),
            };
            let mut buffer = vec![0; 64 << 10];
            while plain.read(&mut buffer)? > 0 {}
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.unwrap_or_else(|_| Err(io::Error::other("a thread failed")))
        })
    })?;
    Ok(begun.elapsed())
}

/// The regular files below a directory, one after the other, links not followed.
struct Files {
    directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Files {
    fn below(directory: &Path) -> Self {
        Self {
            directories: vec![directory.to_owned()],
            files: Vec::new(),
        }
    }

    /// The next one with its content; what cannot be read is left out.
    fn next_file(&mut self) -> Option<(PathBuf, Vec<u8>)> {
        loop {
            if let Some(path) = self.files.pop() {
                if let Ok(content) = fs::read(&path) {
                    return Some((path, content));
                }
                continue;
            }
            let directory = self.directories.pop()?;
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => self.directories.push(entry.path()),
                    Ok(kind) if kind.is_file() => self.files.push(entry.path()),
                    _ => {}
                }
            }
        }
    }
}
