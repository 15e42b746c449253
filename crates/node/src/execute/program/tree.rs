//! The files of a directory that is run.

use super::{ProgramError, unreadable};
use std::fs;
use std::path::{Path, PathBuf};

/// The files below a directory.
pub(super) struct Tree {
    /// Their names, relative to the directory.
    pub(super) names: Vec<String>,
    /// Links that lead out of it. A link in a checkout that somebody else wrote may point at any
    /// file of the host, which has no business in a sandbox.
    pub(super) skipped: Vec<PathBuf>,
}

impl Tree {
    /// Reads it whole; at most `limit` entries.
    pub(super) fn read(root: &Path, limit: u32) -> Result<Self, ProgramError> {
        let whole = fs::canonicalize(root).map_err(|error| unreadable(root, error))?;
        let mut tree = Self {
            names: Vec::new(),
            skipped: Vec::new(),
        };
        let mut waiting = vec![PathBuf::new()];
        while let Some(directory) = waiting.pop() {
            let path = root.join(&directory);
            let entries = fs::read_dir(&path).map_err(|error| unreadable(&path, error))?;
            for entry in entries {
                let entry = entry.map_err(|error| unreadable(&path, error))?;
                let name = directory.join(entry.file_name());
                let kind = entry
                    .file_type()
                    .map_err(|error| unreadable(&path, error))?;
                if kind.is_dir() {
                    waiting.push(name);
                } else if kind.is_file() || leads_to_file_inside(&entry.path(), &whole) {
                    let text = name
                        .to_str()
                        .ok_or_else(|| ProgramError::Name(name.clone()))?;
                    tree.names.push(text.to_owned());
                } else {
                    tree.skipped.push(name);
                }
                if tree.names.len() + waiting.len() + tree.skipped.len() > limit as usize {
                    let path = root.to_owned();
                    return Err(ProgramError::TooManyFiles { path, limit });
                }
            }
        }
        Ok(tree)
    }
}

fn leads_to_file_inside(link: &Path, whole: &Path) -> bool {
    fs::canonicalize(link).is_ok_and(|target| target.starts_with(whole) && target.is_file())
}
