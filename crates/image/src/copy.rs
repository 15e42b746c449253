//! Copying files into a layer that is being made, over the layers that it will lie on.
//!
//! What is copied comes as a tar stream, whoever made it, and may be hostile. Where it goes is
//! looked up in the layers as a process in the sandbox would find it: a link in the way is
//! followed by its text and within the tree. On disk no link is ever followed: each directory on
//! the way is made in the new layer before anything is put into it.

use crate::layers::Layers;
use crate::measure::{MAX_DEPTH, MAX_FILES};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, lgetxattr, llistxattr,
    lsetxattr, utimensat,
};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink,
};
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// The longest path that a file may get in a sandbox (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// More than any file of accounts has.
const ACCOUNTS: u64 = 1 << 20;

/// Why files were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What came is no tar file, or it ended too early.
    #[error("the files that came cannot be read: {0}")]
    Stream(#[source] io::Error),
    /// A path that leads out of the destination, or is too long.
    #[error("{0:?} is no path of a file below the destination")]
    Path(PathBuf),
    /// A file stands where a directory would have to be, or the other way round.
    #[error("{path:?} is {what}")]
    InTheWay {
        /// The path in the sandbox.
        path: PathBuf,
        /// What it is there already.
        what: &'static str,
    },
    /// Neither file, directory nor link.
    #[error("{0:?} is neither a file nor a directory nor a link")]
    Kind(PathBuf),
    /// More entries than a template may have.
    #[error("there are more than {MAX_FILES} files")]
    Files,
    /// More bytes than the caller takes.
    #[error("there are more than {0} bytes")]
    Bytes(u64),
    /// Nobody of the tree is called so.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Linux refused a step.
    #[error("cannot {what} {path:?}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    move |source| CopyError::Refused {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Whose copied files are, as numbers that sandboxes see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongs {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Belongs {
    /// Root.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// Reads `user[:group]`, names or numbers. A user without a group has its own group, a number
    /// that nobody has the same number.
    ///
    /// # Errors
    /// [`CopyError::Unknown`].
    pub fn parse(text: &str, layers: &Layers) -> Result<Self, CopyError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let unknown = |what, name: &str| CopyError::Unknown {
            what,
            name: name.chars().take(100).collect(),
        };
        let fields = |file: &str, name: &str| -> Option<Vec<String>> {
            let text = layers.read(Path::new(file), ACCOUNTS).ok()?;
            let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
            let line = lines.find(|line| {
                let number = name.parse::<u32>().is_ok() && line.get(2) == Some(&name);
                line.first() == Some(&name) || number
            })?;
            Some(line.into_iter().map(str::to_owned).collect())
        };
        let number = |line: &[String], at: usize| line.get(at)?.parse::<u32>().ok();
        let account = fields("/etc/passwd", user);
        let uid = account.as_deref().and_then(|line| number(line, 2));
        let uid = uid.or_else(|| user.parse().ok());
        let uid = uid.ok_or_else(|| unknown("user", user))?;
        let gid = match group {
            Some(group) => {
                let of_file = fields("/etc/group", group).and_then(|line| number(&line, 2));
                let gid = of_file.or_else(|| group.parse().ok());
                gid.ok_or_else(|| unknown("group", group))?
            }
            None => account
                .as_deref()
                .and_then(|line| number(line, 3))
                .unwrap_or(uid),
        };
        Ok(Self { uid, gid })
    }
}

/// A layer that files are copied into.
pub struct Target<'a> {
    tree: &'a Path,
    /// The new tree over those below.
    merged: Layers,
    belongs: Belongs,
    mode: Option<u32>,
    /// The most bytes.
    limit: u64,
    bytes: u64,
    files: u64,
    /// Directories that are in the new tree, by how they were asked for.
    made: HashMap<PathBuf, PathBuf>,
}

impl<'a> Target<'a> {
    /// Copies into `tree`, which will lie on `below`. `mode`: what all files get; `limit`: the
    /// most bytes that are taken.
    pub fn new(
        tree: &'a Path,
        below: &Layers,
        belongs: Belongs,
        mode: Option<u32>,
        limit: u64,
    ) -> Self {
        let lower = std::iter::once(&below.rootfs).chain(&below.below).cloned();
        Self {
            tree,
            merged: Layers {
                rootfs: tree.to_owned(),
                below: lower.collect(),
                usr: None,
            },
            belongs,
            mode,
            limit,
            bytes: 0,
            files: 0,
            made: HashMap::new(),
        }
    }

    /// Whether a directory is there, or will be.
    pub fn is_directory(&self, path: &Path) -> bool {
        let found = self.merged.find(path);
        found.is_some_and(|found| found.metadata.is_dir())
    }

    /// Copies everything in a tar stream to below the directory `to`, or, with `name`, the one file
    /// in it to `to/name`. Gives how many entries there were.
    ///
    /// # Errors
    /// [`CopyError`]; what was copied until then stays.
    pub fn untar(
        &mut self,
        stream: impl Read,
        to: &Path,
        name: Option<&Path>,
    ) -> Result<u64, CopyError> {
        let mut archive = tar::Archive::new(stream);
        let before = self.files;
        for entry in archive.entries().map_err(CopyError::Stream)? {
            let mut entry = entry.map_err(CopyError::Stream)?;
            let path = entry.path().map_err(CopyError::Stream)?.into_owned();
            let path = match name {
                Some(name) => name.to_owned(),
                None => normal(&path)?,
            };
            let place = to.join(&path);
            if place.as_os_str().len() > MAX_PATH || place.components().count() > MAX_DEPTH {
                return Err(CopyError::Path(path));
            }
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(CopyError::Files);
            }
            let header = entry.header();
            let mode = header.mode().map_err(CopyError::Stream)? & 0o7777;
            let modified = header.mtime().unwrap_or_default();
            match header.entry_type() {
                EntryType::Directory => self.directory(&place, Some((mode, modified)))?,
                EntryType::Symlink => {
                    let link = entry.link_name().map_err(CopyError::Stream)?;
                    let link = link.ok_or_else(|| CopyError::Kind(path.clone()))?;
                    self.link(&place, &link)?;
                }
                EntryType::Link => {
                    let link = entry.link_name().map_err(CopyError::Stream)?;
                    let link = link.ok_or_else(|| CopyError::Kind(path.clone()))?;
                    self.twin(&place, &to.join(normal(&link)?))?;
                }
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    self.file(&place, (mode, modified), &mut entry)?;
                }
                EntryType::XGlobalHeader => {}
                _ => return Err(CopyError::Kind(path)),
            }
        }
        Ok(self.files - before)
    }

    /// Makes a directory, and those above it, as every new one: with mode 0755 and the owner of
    /// what is copied.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn make_directory(&mut self, path: &Path) -> Result<(), CopyError> {
        self.real(path).map(drop)
    }

    /// Makes a directory, and those above it; one that is there stays as it is.
    fn directory(&mut self, path: &Path, about: Option<(u32, u64)>) -> Result<(), CopyError> {
        let there = self.merged.find(path).is_some();
        let real = self.real(path)?;
        if let Some((mode, _)) = about.filter(|_| !there) {
            let place = self.on_disk(&real);
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))
                .map_err(refused("set the mode of", path))?;
        }
        Ok(())
    }

    /// Copies a file's content.
    fn file(
        &mut self,
        path: &Path,
        (mode, modified): (u32, u64),
        content: &mut impl Read,
    ) -> Result<(), CopyError> {
        let place = self.place(path)?;
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(no_follow)
            .open(&place)
            .map_err(refused("make", path))?;
        let left = self.limit - self.bytes;
        let copied = io::copy(&mut content.take(left.saturating_add(1)), &mut file);
        let copied = copied.map_err(refused("write", path))?;
        if copied > left {
            return Err(CopyError::Bytes(self.limit));
        }
        self.bytes += copied;
        let Belongs { uid, gid } = self.belongs;
        let mode = fs::Permissions::from_mode(self.mode.unwrap_or(mode));
        chown(&place, Some(uid), Some(gid))
            .and_then(|()| file.set_permissions(mode))
            .map_err(refused("give away", path))?;
        set_time(&place, modified).map_err(refused("set the time of", path))
    }

    /// Makes a link, with its text as it is.
    fn link(&mut self, path: &Path, text: &Path) -> Result<(), CopyError> {
        let place = self.place(path)?;
        let Belongs { uid, gid } = self.belongs;
        symlink(text, &place)
            .and_then(|()| lchown(&place, Some(uid), Some(gid)))
            .map_err(refused("make the link", path))
    }

    /// Another name for a file that came before.
    fn twin(&mut self, path: &Path, of: &Path) -> Result<(), CopyError> {
        let found = self.merged.find(of);
        let found =
            found.filter(|found| found.metadata.is_file() && found.host.starts_with(self.tree));
        let found = found.ok_or_else(|| CopyError::Path(of.to_owned()))?;
        let place = self.place(path)?;
        fs::hard_link(&found.host, &place).map_err(refused("link", path))
    }

    /// Where a new entry goes on disk; what is there already is gone.
    fn place(&mut self, path: &Path) -> Result<PathBuf, CopyError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(CopyError::Path(path.to_owned()));
        };
        let real = self.real(parent)?.join(name);
        let place = self.on_disk(&real);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => return Err(is_directory(path)),
            Ok(_) => fs::remove_file(&place).map_err(refused("replace", path))?,
            Err(_) => {
                let below = self.merged.find(&real);
                if below.is_some_and(|found| found.guest == real && found.metadata.is_dir()) {
                    return Err(is_directory(path));
                }
            }
        }
        Ok(place)
    }

    /// The path without links of a directory, which is in the new tree then.
    fn real(&mut self, path: &Path) -> Result<PathBuf, CopyError> {
        if let Some(real) = self.made.get(path) {
            return Ok(real.clone());
        }
        let mut real = PathBuf::from("/");
        for part in path.components() {
            let Component::Normal(part) = part else {
                continue;
            };
            let next = real.join(part);
            real = match self.merged.find(&next) {
                Some(found) if found.metadata.is_dir() => {
                    self.show(&found.guest)?;
                    found.guest
                }
                Some(_) => {
                    let what = "no directory";
                    return Err(CopyError::InTheWay { path: next, what });
                }
                // A link that leads nowhere is there, too.
                None => {
                    let place = self.on_disk(&next);
                    self.make(&place, &next)?;
                    next
                }
            };
        }
        self.made.insert(path.to_owned(), real.clone());
        Ok(real)
    }

    /// Makes a directory that is in none of the trees.
    fn make(&self, place: &Path, path: &Path) -> Result<(), CopyError> {
        let Belongs { uid, gid } = self.belongs;
        fs::DirBuilder::new()
            .mode(0o755)
            .create(place)
            .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o755)))
            .and_then(|()| chown(place, Some(uid), Some(gid)))
            .map_err(refused("make directory", path))
    }

    /// Makes a directory of the trees below, and those above it, in the new tree, as it is there.
    fn show(&self, path: &Path) -> Result<(), CopyError> {
        let mut guest = PathBuf::from("/");
        for part in path.components() {
            if let Component::Normal(part) = part {
                guest.push(part);
            }
            let place = self.on_disk(&guest);
            if guest == Path::new("/") || fs::symlink_metadata(&place).is_ok() {
                continue;
            }
            let below = self.merged.find(&guest);
            let below = below.ok_or_else(|| CopyError::Path(guest.clone()))?;
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&place)
                .and_then(|()| like(&below.host, &below.metadata, &place))
                .map_err(refused("make directory", &guest))?;
        }
        Ok(())
    }

    fn on_disk(&self, real: &Path) -> PathBuf {
        self.tree.join(real.strip_prefix("/").unwrap_or(real))
    }
}

fn is_directory(path: &Path) -> CopyError {
    CopyError::InTheWay {
        path: path.to_owned(),
        what: "a directory",
    }
}

/// A path of a tar file without `.`; one that leads up or is absolute is refused.
fn normal(path: &Path) -> Result<PathBuf, CopyError> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            _ => return Err(CopyError::Path(path.to_owned())),
        }
    }
    Ok(normal)
}

/// Gives a directory the owner, mode and attributes of one below it.
fn like(below: &Path, about: &fs::Metadata, place: &Path) -> io::Result<()> {
    rustix::fs::chown(
        place,
        Some(Uid::from_raw(about.uid())),
        Some(Gid::from_raw(about.gid())),
    )?;
    rustix::fs::chmod(place, Mode::from_raw_mode(about.mode() & 0o7777))?;
    let mut list = vec![0; 65_536];
    let length = llistxattr(below, &mut list).unwrap_or_default();
    for name in list[..length].split(|byte| *byte == 0) {
        // Those of overlayfs say something about the layer that they are in.
        let of_overlay = name.windows(9).any(|part| part == b".overlay.");
        if name.is_empty() || of_overlay {
            continue;
        }
        let name = CString::new(name)?;
        let mut value = vec![0; 65_536];
        let length = lgetxattr(below, &name, &mut value)?;
        lsetxattr(place, &name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

fn set_time(place: &Path, modified: u64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: i64::try_from(modified).unwrap_or_default(),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests;
