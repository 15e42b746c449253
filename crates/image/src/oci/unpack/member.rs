//! The members of a tar file, one after the other, with what stands in the headers before them.
//!
//! Only the form of a header is the library's. What makes a member of several headers is done here:
//! whoever wrote the file decides how long those are, and here that has a bound.

use super::pax::Records;
use super::{Problem, UnpackError};
use std::io::{BufRead, BufReader, Read};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// The longest header that says something about the next member.
const MAX_ABOUT: u64 = 1 << 20;
/// How many of them one member may have.
const MAX_HEADERS: u32 = 16;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::oci) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    Device,
    /// Of no kind that a layer has.
    Other(u8),
}

/// A time as a file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::oci) struct Time {
    pub(in crate::oci) seconds: i64,
    pub(in crate::oci) nanoseconds: u32,
}

/// One member. Its content is read from [`Members`] before the next.
#[derive(Debug)]
pub(in crate::oci) struct Member {
    pub(in crate::oci) path: Vec<u8>,
    /// What a link leads to.
    pub(in crate::oci) link: Vec<u8>,
    pub(in crate::oci) kind: Kind,
    pub(in crate::oci) mode: u32,
    pub(in crate::oci) uid: u64,
    pub(in crate::oci) gid: u64,
    pub(in crate::oci) modified: Time,
    /// Attributes by name.
    pub(in crate::oci) attributes: Vec<(String, Vec<u8>)>,
}

/// Reads a tar file.
pub(in crate::oci) struct Members<R> {
    inner: BufReader<R>,
    /// What is left of the content of the current member.
    content: u64,
    /// What is left of its last block.
    padding: u64,
    /// How much of the file was read.
    position: u64,
}

impl<R: Read> Members<R> {
    pub(in crate::oci) fn new(inner: R) -> Self {
        Self {
            inner: BufReader::with_capacity(BUFFER, inner),
            content: 0,
            padding: 0,
            position: 0,
        }
    }

    /// How much of the file was read: where the content of the current member begins, before any of
    /// it is.
    pub(in crate::oci) fn position(&self) -> u64 {
        self.position
    }

    /// The next member; `None` at the end. What was not read of the last one is passed over.
    pub(in crate::oci) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        let (mut name, mut link, mut records) = (None, None, None);
        for _ in 0..MAX_HEADERS {
            let Some(header) = self.header()? else {
                return match (name, link, records) {
                    (None, None, None) => Ok(None),
                    _ => Err(UnpackError::Truncated),
                };
            };
            self.has(header.entry_size().map_err(damaged)?)?;
            match header.entry_type() {
                EntryType::GNULongName => name = Some(self.text()?),
                EntryType::GNULongLink => link = Some(self.text()?),
                EntryType::XHeader => records = Some(Records::parse(&self.about()?)?),
                // It tells who wrote the file and the like.
                EntryType::XGlobalHeader => {}
                _ => {
                    let records = records.unwrap_or_default();
                    if let Some(size) = records.size {
                        self.has(size)?;
                    }
                    return member(&header, name, link, records).map(Some);
                }
            }
        }
        Err(UnpackError::Damaged("a member has too many headers"))
    }

    /// How much of the content is left.
    pub(in crate::oci) fn left(&self) -> u64 {
        self.content
    }

    /// The next piece of the content; empty at its end.
    pub(super) fn piece(&mut self) -> Result<&[u8], UnpackError> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let piece = self.inner.fill_buf().map_err(UnpackError::Read)?;
        if piece.is_empty() {
            return Err(UnpackError::Truncated);
        }
        let length = usize::try_from(self.content).unwrap_or(usize::MAX);
        Ok(&piece[..piece.len().min(length)])
    }

    /// Notes that `length` bytes of the last piece were used.
    pub(super) fn used(&mut self, length: usize) {
        self.inner.consume(length);
        self.position += length as u64;
        self.content = self.content.saturating_sub(length as u64);
    }

    /// The header after the current member; `None` at the end of the file.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        self.pass()?;
        let mut header = Header::new_old();
        let mut filled = 0;
        let block = header.as_mut_bytes();
        while filled < block.len() {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(UnpackError::Truncated),
                Ok(read) => {
                    filled += read;
                    self.position += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(UnpackError::Read(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = block.iter().map(|byte| u32::from(*byte)).sum::<u32>()
            - block[148..156]
                .iter()
                .map(|byte| u32::from(*byte))
                .sum::<u32>()
            + 8 * u32::from(b' ');
        if header.cksum().map_err(damaged)? != sum {
            return Err(UnpackError::Damaged("a header has another checksum"));
        }
        Ok(Some(header))
    }

    /// Takes the next bytes to be the content of a member.
    fn has(&mut self, size: u64) -> Result<(), UnpackError> {
        let whole = size.checked_next_multiple_of(BLOCK);
        let whole = whole.ok_or(UnpackError::Damaged("a member has an impossible size"))?;
        (self.content, self.padding) = (size, whole - size);
        Ok(())
    }

    /// Passes over what is left of the current member.
    fn pass(&mut self) -> Result<(), UnpackError> {
        self.content = self
            .content
            .checked_add(std::mem::take(&mut self.padding))
            .ok_or(UnpackError::Damaged("a member has an impossible size"))?;
        while self.content > 0 {
            let length = self.piece()?.len();
            self.used(length);
        }
        Ok(())
    }

    /// The content of a header about the next member.
    fn about(&mut self) -> Result<Vec<u8>, UnpackError> {
        if self.content > MAX_ABOUT {
            return Err(UnpackError::Limit {
                what: "bytes in a header",
                limit: MAX_ABOUT,
            });
        }
        let mut content = Vec::new();
        while self.content > 0 {
            let piece = self.piece()?;
            content.extend_from_slice(piece);
            let length = piece.len();
            self.used(length);
        }
        Ok(content)
    }

    /// The same where it is one text that a zero ends.
    fn text(&mut self) -> Result<Vec<u8>, UnpackError> {
        let mut text = self.about()?;
        if let Some(end) = text.iter().position(|byte| *byte == 0) {
            text.truncate(end);
        }
        Ok(text)
    }
}

fn member(
    header: &Header,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
) -> Result<Member, UnpackError> {
    let path = records.path.or(name);
    let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
    let link = records.link.or(link);
    let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
    if records.sparse {
        return Err(UnpackError::path(&path, Problem::Sparse));
    }
    let kind = match header.entry_type() {
        // Before there was a kind for directories.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::Hardlink,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        EntryType::GNUSparse => return Err(UnpackError::path(&path, Problem::Sparse)),
        other => Kind::Other(other.as_byte()),
    };
    let seconds = i64::try_from(header.mtime().unwrap_or_default());
    let old = header.as_old();
    let mode = number(&old.mode, header.mode().map(u64::from))?;
    let (uid, gid) = (
        number(&old.uid, header.uid()),
        number(&old.gid, header.gid()),
    );
    Ok(Member {
        path,
        link: link.unwrap_or_default(),
        kind,
        mode: u32::try_from(mode & 0o7777).unwrap_or_default(),
        uid: records.uid.map_or(uid, Ok)?,
        gid: records.gid.map_or(gid, Ok)?,
        modified: records.modified.unwrap_or(Time {
            seconds: seconds.unwrap_or_default(),
            nanoseconds: 0,
        }),
        attributes: records.attributes,
    })
}

/// A number of a header; some writers leave out what is zero.
fn number(field: &[u8], parsed: std::io::Result<u64>) -> Result<u64, UnpackError> {
    match field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        true => Ok(0),
        false => parsed.map_err(damaged),
    }
}

fn damaged(_: std::io::Error) -> UnpackError {
    UnpackError::Damaged("a header has a number that is none")
}
