//! The body of an upload, decompressed if need be.

use crate::limits;
use crate::request::{BodyError, next_piece};
use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;
use hyper::body::Incoming;
use std::io::Write as _;

/// The pieces of an upload's body.
pub(crate) struct UploadBody<'a> {
    incoming: &'a mut Incoming,
    inflating: Option<Inflating>,
}

/// A body that is being decompressed.
struct Inflating {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What came and is not decompressed yet.
    piece: Bytes,
}

impl<'a> UploadBody<'a> {
    pub(crate) fn plain(incoming: &'a mut Incoming) -> Self {
        Self {
            incoming,
            inflating: None,
        }
    }

    pub(crate) fn gzip(incoming: &'a mut Incoming) -> Self {
        let decoder = MultiGzDecoder::new(Vec::new());
        Self {
            incoming,
            inflating: Some(Inflating {
                decoder,
                piece: Bytes::new(),
            }),
        }
    }

    /// The next piece; `None` at the end. A compressed body that stops early is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(inflating) = &mut self.inflating else {
            return next_piece(self.incoming).await;
        };
        loop {
            if let Some(piece) = inflating.inflate()? {
                return Ok(Some(piece));
            }
            match next_piece(self.incoming).await? {
                Some(piece) => inflating.piece = piece,
                None => return Ok(inflating.finish()?),
            }
        }
    }
}

impl Inflating {
    /// Decompresses a bit of what came; `None` when that is used up.
    fn inflate(&mut self) -> std::io::Result<Option<Bytes>> {
        while !self.piece.is_empty() {
            let bit = self.piece.len().min(limits::INFLATED_AT_ONCE);
            let taken = self
                .decoder
                .write(self.piece.get(..bit).unwrap_or_default())?;
            if taken == 0 {
                return Err(std::io::Error::other(
                    "data after the end of the gzip stream",
                ));
            }
            self.piece.advance(taken);
            if !self.decoder.get_ref().is_empty() {
                return Ok(Some(std::mem::take(self.decoder.get_mut()).into()));
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> std::io::Result<Option<Bytes>> {
        self.decoder.try_finish()?;
        let rest = std::mem::take(self.decoder.get_mut());
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}
