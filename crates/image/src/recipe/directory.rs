//! Reading a recipe's directory.

use super::{MAX_BYTES, MAX_DEPTH, MAX_FILES, RecipeError, RecipeFile};
use rustix::fs::{Mode, OFlags};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads all files below `root`.
///
/// # Errors
/// When one cannot be read, is no regular file, or there are too many.
pub(super) fn read(root: &Path) -> Result<Vec<RecipeFile>, RecipeError> {
    let mut reader = Reader {
        root,
        files: Vec::new(),
        bytes: MAX_BYTES,
    };
    reader.directory(Path::new(""), 0)?;
    Ok(reader.files)
}

struct Reader<'a> {
    root: &'a Path,
    files: Vec<RecipeFile>,
    /// How many more bytes may be read.
    bytes: u64,
}

impl Reader<'_> {
    fn directory(&mut self, below: &Path, depth: usize) -> Result<(), RecipeError> {
        let path = self.root.join(below);
        let read = |source| RecipeError::Read {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let (kind, below) = (
                entry.file_type().map_err(read)?,
                below.join(entry.file_name()),
            );
            if self.files.len() == MAX_FILES || depth == MAX_DEPTH {
                return Err(self.too_large());
            }
            if kind.is_dir() {
                self.directory(&below, depth + 1)?;
            } else if kind.is_file() {
                self.file(below)?;
            } else {
                return Err(RecipeError::Kind(entry.path()));
            }
        }
        Ok(())
    }

    fn too_large(&self) -> RecipeError {
        RecipeError::TooLarge {
            path: self.root.to_owned(),
        }
    }

    fn file(&mut self, below: PathBuf) -> Result<(), RecipeError> {
        let path = self.root.join(&below);
        let read = |source| RecipeError::Read {
            path: path.clone(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::empty());
        let file = File::from(opened.map_err(|errno| read(errno.into()))?);
        let mode = file.metadata().map_err(read)?.permissions().mode();
        let mut content = Vec::new();
        let mut limited = (&file).take(self.bytes + 1);
        limited.read_to_end(&mut content).map_err(read)?;
        let length = content.len() as u64;
        let left = self.bytes.checked_sub(length);
        self.bytes = left.ok_or_else(|| self.too_large())?;
        self.files.push(RecipeFile {
            path: below,
            executable: mode & 0o111 != 0,
            content: Cow::Owned(content),
        });
        Ok(())
    }
}
