//! Images in files and directories: what `docker save`, `skopeo`, `umoci` and others write.
//!
//! | What | File |
//! |---|---|
//! | the files of an archive or a directory, by name | `files` |
//! | which of them make the image | `find` |
//! | its layers, into the store | [`import`] |
//! | a template as an archive | [`export`] |

pub mod export;
mod files;
mod find;
pub mod import;

use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// The largest window of zstd that is unpacked, as a power of two.
const ZSTD_WINDOW: u32 = 27;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Unpacks what is packed by gzip or zstd, which its first bytes tell.
fn plain<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut packed = BufReader::with_capacity(BUFFER, packed);
    let begin = packed.fill_buf()?;
    if begin.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(packed)));
    }
    if begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(packed))
}
