//! How large a tree is.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use soulbox_model::ByteSize;
use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The deepest directory that a template may have; each level needs a descriptor here.
pub const MAX_DEPTH: usize = 200;
/// The most entries that a template may have, ten times what a large one with Node packages has.
pub const MAX_FILES: u64 = 5_000_000;

/// Why a tree was not measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// It is deeper than [`MAX_DEPTH`].
    #[error("a directory lies deeper than {MAX_DEPTH} levels below {0}")]
    Depth(PathBuf),
    /// It has more than [`MAX_FILES`] entries.
    #[error("there are more than {MAX_FILES} files below {0}")]
    Files(PathBuf),
    /// Linux refused to read it.
    #[error("cannot read the tree {path}")]
    Refused {
        /// The root of the tree.
        path: PathBuf,
        /// What Linux said.
        source: std::io::Error,
    },
}

/// The size of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeSize {
    /// Space on disk; files with several names count once.
    pub bytes: ByteSize,
    /// Entries of all kinds, directories included, the root not.
    pub files: u64,
}

/// Measures the tree at `root`. Follows no link, crosses into no mount.
///
/// # Errors
/// [`MeasureError`].
pub fn measure(root: &Path) -> Result<TreeSize, MeasureError> {
    let refused = |errno: Errno| MeasureError::Refused {
        path: root.to_owned(),
        source: errno.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(refused)?;
    let mut levels = vec![Dir::new(fd).map_err(refused)?];
    let mut size = TreeSize::default();
    let mut seen = HashSet::new();
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.read() else {
            levels.pop();
            continue;
        };
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().to_owned();
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let at = level.fd().map_err(refused)?;
        let stat = rustix::fs::statat(at, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused)?;
        let directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        size.files += 1;
        if size.files > MAX_FILES {
            return Err(MeasureError::Files(root.to_owned()));
        }
        // A directory always has several names, but is met once.
        if directory || stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
            size.bytes.0 += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        }
        if directory {
            let below = below(level, &name).map_err(refused)?;
            levels.push(Dir::new(below).map_err(refused)?);
            if levels.len() > MAX_DEPTH {
                return Err(MeasureError::Depth(root.to_owned()));
            }
        }
    }
    Ok(size)
}

fn below(level: &Dir, name: &CString) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(
        level.fd()?,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn links_are_not_followed_and_files_count_once() {
        let ground = tempfile::tempdir().unwrap();
        fs::create_dir_all(ground.path().join("a/b")).unwrap();
        fs::write(ground.path().join("a/file"), vec![1; 100_000]).unwrap();
        let before = measure(ground.path()).unwrap();
        assert_eq!(before.files, 3);
        assert!(before.bytes.bytes() >= 100_000);
        fs::hard_link(ground.path().join("a/file"), ground.path().join("same")).unwrap();
        std::os::unix::fs::symlink("/", ground.path().join("root")).unwrap();
        let after = measure(ground.path()).unwrap();
        assert_eq!(after.files, 5);
        assert!(after.bytes.bytes() < before.bytes.bytes() + 50_000);
    }

    #[test]
    fn a_bottomless_tree_is_refused() {
        let ground = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", MAX_DEPTH + 1).collect();
        fs::create_dir_all(ground.path().join(deep)).unwrap();
        assert!(matches!(
            measure(ground.path()),
            Err(MeasureError::Depth(_))
        ));
    }
}
