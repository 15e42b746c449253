//! Chosen files as a tar file, written while they are read.

use super::choose::Seen;
use super::{Chosen, Context, ContextError, Entry, Kind};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

const BLOCK: usize = 512;
/// What the fields of the old header hold; what is longer stands in one more header before it.
const NAME: usize = 100;
const MAX_SIZE: u64 = 0o77_777_777_777;

impl Chosen {
    /// Writes the files as a tar file, their paths below the destination and root their owner.
    ///
    /// # Errors
    /// [`ContextError::Changed`] when a file is not what it was when it was chosen;
    /// [`ContextError`].
    pub fn write_tar(&self, context: &Context, out: &mut dyn Write) -> Result<(), ContextError> {
        for entry in &self.entries {
            match &entry.kind {
                Kind::File { size, seen } => file(context, entry, *size, *seen, out)?,
                Kind::Directory | Kind::Link(_) => {
                    out.write_all(&headers(entry))
                        .map_err(ContextError::Write)?;
                }
            }
        }
        out.write_all(&[0; 2 * BLOCK])
            .map_err(ContextError::Write)?;
        out.flush().map_err(ContextError::Write)
    }
}

fn file(
    context: &Context,
    entry: &Entry,
    size: u64,
    seen: Seen,
    out: &mut dyn Write,
) -> Result<(), ContextError> {
    let changed = || ContextError::Changed(context.directory.join(&entry.from));
    // It was there a moment ago.
    let fd = context
        .at(&entry.from, OFlags::RDONLY)
        .map_err(|_| changed())?;
    let status = |fd: &_| rustix::fs::fstat(fd).map(|stat| Seen::of(&stat));
    if status(&fd) != Ok(seen) {
        return Err(changed());
    }
    out.write_all(&headers(entry))
        .map_err(ContextError::Write)?;
    let mut file = File::from(fd);
    let mut buffer = vec![0; 128 << 10];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = file
            .read(&mut buffer[..most])
            .map_err(|source| ContextError::Read {
                path: context.directory.join(&entry.from),
                source,
            })?;
        if count == 0 {
            return Err(changed());
        }
        out.write_all(&buffer[..count])
            .map_err(ContextError::Write)?;
        left -= count as u64;
    }
    if status(&rustix::fd::OwnedFd::from(file)) != Ok(seen) {
        return Err(changed());
    }
    let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0);
    out.write_all(&[0; BLOCK][..padding])
        .map_err(ContextError::Write)
}

/// The headers of an entry: one, or before it one more with what does not fit (POSIX pax).
fn headers(entry: &Entry) -> Vec<u8> {
    let mut path = entry.to.as_os_str().as_bytes().to_owned();
    let (letter, link, size) = match &entry.kind {
        Kind::Directory => {
            path.push(b'/');
            (b'5', Vec::new(), 0)
        }
        Kind::Link(target) => (b'2', target.as_os_str().as_bytes().to_owned(), 0),
        Kind::File { size, .. } => (b'0', Vec::new(), *size),
    };
    let mut more = Vec::new();
    if path.len() > NAME {
        more.extend(record("path", &path));
    }
    if link.len() > NAME {
        more.extend(record("linkpath", &link));
    }
    if size > MAX_SIZE {
        more.extend(record("size", size.to_string().as_bytes()));
    }
    let mut bytes = Vec::new();
    if !more.is_empty() {
        bytes.extend(header(b"pax", b"", b'x', 0o644, more.len() as u64, 0));
        bytes.extend(&more);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(header(
        &path,
        &link,
        letter,
        entry.mode,
        size,
        entry.modified,
    ));
    bytes
}

/// `LENGTH NAME=VALUE\n`, where the length counts itself.
fn record(name: &str, value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {name}=").into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}

fn header(path: &[u8], link: &[u8], letter: u8, mode: u32, size: u64, modified: i64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    put(&mut block[..NAME], path);
    octal(&mut block[100..108], mode.into());
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size.min(MAX_SIZE));
    let modified = u64::try_from(modified).unwrap_or(0).min(MAX_SIZE);
    octal(&mut block[136..148], modified);
    block[156] = letter;
    put(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    // The sum counts its own field as blanks.
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    put(field, format!("{value:0digits$o}").as_bytes());
}
