//! The files of an archive or a directory, by name.

use super::import::ImportError;
use super::plain;
use crate::oci::unpack::member::{Kind, Members};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The most files of an archive; an image has two for each of its layers at most.
const MAX_FILES: usize = 20_000;
/// The longest archive.
const MAX_BYTES: u64 = 64 << 30;
/// How many links in an archive are followed to one file.
const MAX_LINKS: usize = 8;

/// Files by name.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    from: From,
}

#[derive(Debug)]
enum From {
    Directory(OwnedFd),
    Archive {
        file: File,
        places: HashMap<String, Place>,
    },
}

#[derive(Debug)]
enum Place {
    /// From where, how long.
    At(u64, u64),
    /// The same as another.
    Link(String),
}

impl Files {
    /// Those of a directory.
    pub(super) fn of_directory(path: &Path) -> Result<Self, ImportError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(path, flags, Mode::empty());
        let open = open.map_err(|errno| ImportError::read(path)(errno.into()))?;
        Ok(Self {
            path: path.to_owned(),
            from: From::Directory(open),
        })
    }

    /// Those of a tar file, plain or packed by gzip or zstd. What cannot be read anywhere is put
    /// into a file without a name below `aside` first, which is gone when nobody has it open.
    pub(super) fn of_archive(
        path: &Path,
        aside: &Path,
        watch: impl Fn(File) -> Box<dyn Read>,
    ) -> Result<Self, ImportError> {
        let read = ImportError::read(path);
        let open = || -> io::Result<File> {
            let file = File::open(path)?;
            let mut begin = [0; 4];
            let plain_file = file.metadata()?.is_file();
            let known = plain_file && file.read_at(&mut begin, 0)? > 0;
            if known && begin[..2] != [0x1f, 0x8b] && begin != [0x28, 0xb5, 0x2f, 0xfd] {
                return Ok(file);
            }
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let spool = rustix::fs::open(aside, flags, Mode::from_raw_mode(0o600))?;
            let mut spool = File::from(spool);
            let mut content = plain(watch(file))?.take(MAX_BYTES + 1);
            if io::copy(&mut content, &mut spool)? > MAX_BYTES {
                return Err(io::Error::other("it is larger than 64 GiB"));
            }
            Ok(spool)
        };
        let file = open().map_err(read)?;
        let reader = file.try_clone().map_err(ImportError::read(path))?;
        let places = places(&watch, reader).map_err(|source| ImportError::Archive {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            from: From::Archive { file, places },
        })
    }

    /// Whether there is a file of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.stream(name).is_ok()
    }

    /// The whole of a file of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
        let mut content = Vec::new();
        let read = self.stream(name)?.take(limit + 1).read_to_end(&mut content);
        read.map_err(ImportError::read(&self.path.join(name)))?;
        if content.len() as u64 > limit {
            return Err(ImportError::Long {
                name: name.to_owned(),
                limit,
            });
        }
        Ok(content)
    }

    /// A file, from its beginning.
    pub(super) fn stream(&self, name: &str) -> Result<Box<dyn Read + '_>, ImportError> {
        let missing = || ImportError::Missing {
            path: self.path.clone(),
            name: name.chars().take(200).collect(),
        };
        match &self.from {
            From::Directory(open) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let file = rustix::fs::openat2(open, name, flags, Mode::empty(), inside);
                let file = File::from(file.map_err(|_| missing())?);
                match file.metadata() {
                    Ok(about) if about.is_file() => Ok(Box::new(file)),
                    _ => Err(missing()),
                }
            }
            From::Archive { file, places } => {
                let mut name = name;
                for _ in 0..MAX_LINKS {
                    match places.get(name).ok_or_else(missing)? {
                        Place::At(at, left) => {
                            let (at, left) = (*at, *left);
                            return Ok(Box::new(Piece { file, at, left }));
                        }
                        Place::Link(to) => name = to,
                    }
                }
                Err(missing())
            }
        }
    }
}

/// Where the files of a tar file are.
fn places(
    watch: &impl Fn(File) -> Box<dyn Read>,
    mut file: File,
) -> Result<HashMap<String, Place>, crate::oci::unpack::UnpackError> {
    use crate::oci::unpack::UnpackError;
    io::Seek::rewind(&mut file).map_err(UnpackError::Read)?;
    let mut members = Members::new(watch(file));
    let mut places = HashMap::new();
    while let Some(member) = members.next()? {
        let Some(name) = normal("", &member.path) else {
            continue;
        };
        let place = match member.kind {
            Kind::File => Place::At(members.position(), members.left()),
            Kind::Symlink => {
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                match normal(directory, &member.link) {
                    Some(to) => Place::Link(to),
                    None => continue,
                }
            }
            Kind::Hardlink => match normal("", &member.link) {
                Some(to) => Place::Link(to),
                None => continue,
            },
            _ => continue,
        };
        places.insert(name, place);
        if places.len() > MAX_FILES {
            return Err(UnpackError::Limit {
                what: "files",
                limit: MAX_FILES as u64,
            });
        }
    }
    Ok(places)
}

/// A name without `.` and `..`; `None` when it leads out or is no text.
fn normal(directory: &str, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A piece of a file.
struct Piece<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let read = self.file.read_at(&mut into[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_an_archive_stay_in_it() {
        assert_eq!(
            normal("a/b", b"../c/layer.tar").as_deref(),
            Some("a/c/layer.tar")
        );
        assert_eq!(normal("", b"./x").as_deref(), Some("x"));
        for out in [&b"../../../x"[..], b"", b".", b"\xff"] {
            assert_eq!(normal("a/b", out).filter(|name| name != "a/b"), None);
        }
    }
}
