//! A tree of links to another tree's files: its directories are made anew, everything else is the
//! same file under another name, on disk once and in the page cache once.
//!
//! Only for trees that nobody changes: both are read-only from then on.

use crate::measure::MAX_DEPTH;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
    lgetxattr, linkat, llistxattr, lsetxattr, mkdirat, statat, utimensat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a tree was not made.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// It is deeper than [`MAX_DEPTH`].
    #[error("a directory lies deeper than {MAX_DEPTH} levels below {0}")]
    Depth(PathBuf),
    /// Linux refused a step.
    #[error("cannot {what} {path}: {source}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> CloneError {
    move |errno| CloneError::Refused {
        what,
        path: path.to_owned(),
        source: errno.into(),
    }
}

/// Makes `to`, an empty directory on the same file system, a tree of links to the files of `from`.
///
/// # Errors
/// [`CloneError`]; what was made until then stays.
pub fn clone_tree(from: &Path, to: &Path) -> Result<(), CloneError> {
    directory(from, to, 0)
}

fn directory(from: &Path, to: &Path, depth: usize) -> Result<(), CloneError> {
    if depth > MAX_DEPTH {
        return Err(CloneError::Depth(from.to_owned()));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
    let source = open(from).map_err(refused("open", from))?;
    let target = open(to).map_err(refused("open", to))?;
    for entry in Dir::read_from(&source).map_err(refused("read", from))? {
        let entry = entry.map_err(refused("read", from))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let below = from.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(&source, name, AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(stat.map_err(refused("look at", &below))?.st_mode)
            }
            kind => kind,
        };
        if kind.is_dir() {
            mkdirat(&target, name, Mode::RWXU).map_err(refused("make", &below))?;
            let place = to.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            directory(&below, &place, depth + 1)?;
        } else {
            linkat(&source, name, &target, name, AtFlags::empty())
                .map_err(refused("link", &below))?;
        }
    }
    like(from, to)
}

/// Gives a directory the owner, mode, attributes and time of another.
fn like(from: &Path, to: &Path) -> Result<(), CloneError> {
    let stat = statat(CWD, from, AtFlags::SYMLINK_NOFOLLOW).map_err(refused("look at", from))?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chown(to, Some(uid), Some(gid)).map_err(refused("give away", to))?;
    rustix::fs::chmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
        .map_err(refused("set the mode of", to))?;
    let mut list = vec![0; 65_536];
    let length = match llistxattr(from, &mut list) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(refused("read the attributes of", from)(errno)),
    };
    let names = list[..length].split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        let name = CString::new(name).unwrap_or_default();
        let mut value = vec![0; 65_536];
        let length =
            lgetxattr(from, &name, &mut value).map_err(refused("read an attribute of", from))?;
        lsetxattr(to, &name, &value[..length], XattrFlags::empty())
            .map_err(refused("set an attribute of", to))?;
    }
    let time = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    utimensat(CWD, to, &times, AtFlags::empty()).map_err(refused("set the time of", to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn files_are_the_same_and_directories_are_alike() {
        let ground = tempfile::tempdir().unwrap();
        let (from, to) = (ground.path().join("from"), ground.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/file"), "x").unwrap();
        symlink("../file", from.join("a/b/link")).unwrap();
        fs::set_permissions(from.join("a/b"), fs::Permissions::from_mode(0o1711)).unwrap();
        clone_tree(&from, &to).unwrap();
        let of = |root: &Path, name: &str| fs::symlink_metadata(root.join(name)).unwrap();
        for name in ["a/file", "a/b/link"] {
            assert_eq!(of(&from, name).ino(), of(&to, name).ino(), "{name}");
        }
        for name in ["", "a", "a/b"] {
            let (one, other) = (of(&from, name), of(&to, name));
            assert_eq!(
                (one.mode(), one.mtime_nsec()),
                (other.mode(), other.mtime_nsec())
            );
            assert_ne!(one.ino(), other.ino());
        }
    }
}
