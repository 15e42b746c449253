//! Downloading a blob into its part: gone on with after a break, checked while it comes.

use super::error::CallError;
use super::growing::Growth;
use super::http::{Answer, HttpError};
use super::part::{Part, PartError};
use super::session::{Place, Retries, Session, tell_mirror};
use crate::oci::digest::Digest;
use crate::oci::manifest::Descriptor;
use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// How much is hashed and written at once.
const CHUNK: usize = 256 << 10;
/// The most breaks of one download, however far it came between them.
const MAX_BREAKS: u32 = 1000;

/// Why a blob is not here.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No place gives it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It cannot be kept.
    #[error(transparent)]
    Part(#[from] PartError),
    /// It is longer or shorter than the manifest says.
    #[error("{blob} came with {is} bytes; its manifest says {wanted}")]
    Length {
        /// The blob.
        blob: Digest,
        /// What came.
        is: u64,
        /// What the manifest says.
        wanted: u64,
    },
    /// It is something else.
    #[error("what came as {wanted} is {is}")]
    Digest {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        is: Digest,
    },
    /// The program ends.
    #[error("the program is ending")]
    Ending,
}

/// A blob that is being downloaded.
pub(super) struct Download<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) blob: &'a Descriptor,
    pub(super) part: Arc<Part>,
    pub(super) growth: &'a Growth,
    /// Told how many bytes more are here.
    pub(super) more: &'a (dyn Fn(u64) + Send + Sync),
}

/// What is here, and its hash so far.
struct Sofar {
    len: u64,
    hash: Sha256,
}

impl Download<'_> {
    /// Downloads what is missing, from one place after the other. At its end the part holds the
    /// whole blob. `own`: only from the registry itself, whatever mirrors there are.
    pub(super) async fn run(&self, own: bool) -> Result<(), BlobError> {
        let mut sofar = self.what_is_there().await?;
        let places = self
            .session
            .places
            .iter()
            .filter(|place| !own || !place.mirror);
        let places: Vec<&Place> = places.collect();
        for (number, place) in places.iter().enumerate() {
            match self.patiently(place, &mut sofar).await {
                Ok(()) => break,
                Err(BlobError::Part(error)) => return Err(error.into()),
                Err(error) if number + 1 == places.len() => return Err(error),
                Err(error) => tell_mirror(place, &error),
            }
        }
        let is = Digest::from_bytes(sofar.hash.finalize().into());
        if is != self.blob.digest {
            let wanted = self.blob.digest;
            return Err(BlobError::Digest { wanted, is });
        }
        self.growth.complete();
        Ok(())
    }

    /// What an earlier pull left, read again for its hash.
    async fn what_is_there(&self) -> Result<Sofar, BlobError> {
        let (part, size) = (Arc::clone(&self.part), self.blob.size);
        let sofar = blocking(move || {
            let mut sofar = Sofar {
                len: 0,
                hash: Sha256::new(),
            };
            if part.len()? > size {
                part.cut(0)?;
            }
            let mut chunk = vec![0; CHUNK];
            loop {
                let read = part.read(&mut chunk, sofar.len)?;
                if read == 0 {
                    return Ok(sofar);
                }
                sofar.hash.update(&chunk[..read]);
                sofar.len += read as u64;
            }
        });
        let sofar = sofar.await?;
        self.growth.to(sofar.len);
        (self.more)(sofar.len);
        Ok(sofar)
    }

    /// Downloads the rest from a place. As long as it gets on, breaks do it no harm.
    async fn patiently(&self, place: &Place, sofar: &mut Sofar) -> Result<(), BlobError> {
        let (mut retries, mut breaks) = (Retries::new(self.session.registry), 0);
        loop {
            let before = sofar.len;
            let error = match self.rest(place, sofar).await {
                Err(BlobError::Call(error)) if breaks < MAX_BREAKS => error,
                done => return done,
            };
            if sofar.len > before {
                retries.forget();
                breaks += 1;
            }
            retries.pause(error).await?;
        }
    }

    /// Asks for the rest once, and takes what comes of it.
    async fn rest(&self, place: &Place, sofar: &mut Sofar) -> Result<(), BlobError> {
        let size = self.blob.size;
        if sofar.len == size {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        if sofar.len > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", sofar.len));
            headers.insert(RANGE, range.map_err(|_| wrong_address(place))?);
        }
        let path = format!("blobs/{}", self.blob.digest);
        let what = format!("layer {}", self.blob.digest);
        let answer = self.session.get(place, &path, &headers, &what).await?;
        // Who does not know ranges sends it from the beginning: that much of it is here already.
        let mut known = match answer.status {
            StatusCode::PARTIAL_CONTENT => 0,
            _ => sofar.len,
        };
        self.check_length(&answer, sofar.len)?;
        let mut body = answer.body;
        let mut chunk = BytesMut::with_capacity(CHUNK);
        loop {
            let piece = body.piece().await;
            if let Ok(Some(piece)) = &piece {
                let skipped = known.min(piece.len() as u64);
                known -= skipped;
                // It fits: a piece has a length of `usize`.
                chunk.extend_from_slice(&piece[usize::try_from(skipped).unwrap_or_default()..]);
            }
            let more = matches!(piece, Ok(Some(_)));
            if chunk.len() >= CHUNK || !more {
                // Also what came before a break.
                chunk = self.take(chunk, sofar).await?;
            }
            match piece.map_err(CallError::from)? {
                Some(_) => {}
                None if sofar.len == size => return Ok(()),
                None => return Err(self.length(sofar.len)),
            }
        }
    }

    /// Refuses at once what cannot become the blob.
    fn check_length(&self, answer: &Answer, have: u64) -> Result<(), BlobError> {
        let size = self.blob.size;
        let length = answer
            .header(CONTENT_LENGTH)
            .and_then(|text| text.parse::<u64>().ok());
        let begin = match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let range = answer.header(CONTENT_RANGE).and_then(first_of_range);
                if range.is_some_and(|first| first != have) {
                    return Err(self.length(range.unwrap_or_default()));
                }
                have
            }
            _ => 0,
        };
        match length {
            Some(length) if begin.saturating_add(length) != size => {
                Err(self.length(begin.saturating_add(length)))
            }
            _ => Ok(()),
        }
    }

    /// Hashes and writes a chunk beside what happens here, and gives the empty buffer back.
    async fn take(&self, chunk: BytesMut, sofar: &mut Sofar) -> Result<BytesMut, BlobError> {
        let len = sofar.len + chunk.len() as u64;
        if len > self.blob.size {
            return Err(self.length(len));
        }
        let (part, at) = (Arc::clone(&self.part), sofar.len);
        let mut hash = std::mem::take(&mut sofar.hash);
        let done = blocking(move || {
            hash.update(&chunk);
            part.write(&chunk, at)?;
            Ok((hash, chunk))
        });
        let (hash, mut chunk) = done.await?;
        (self.more)(chunk.len() as u64);
        chunk.clear();
        *sofar = Sofar { len, hash };
        self.growth.to(len);
        Ok(chunk)
    }

    fn length(&self, is: u64) -> BlobError {
        BlobError::Length {
            blob: self.blob.digest,
            is,
            wanted: self.blob.size,
        }
    }
}

fn wrong_address(place: &Place) -> CallError {
    HttpError::Address(place.authority.clone()).into()
}

/// The first byte of `bytes 5-9/10`.
fn first_of_range(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Does what takes a processor or a disk on a thread of its own.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, PartError> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(act).await;
    Ok(done.map_err(|_| BlobError::Ending)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(first_of_range("bytes 5-9/10"), Some(5));
        for wrong in ["", "bytes", "bytes */10", "items 5-9/10", "bytes -5"] {
            assert_eq!(first_of_range(wrong), None, "{wrong}");
        }
    }
}
