//! Where the writable layers of sandboxes are kept.

use std::fmt;
use std::str::FromStr;

/// Where the writable layers of sandboxes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// In memory what fits there, on disk what does not.
    Auto,
    /// In memory, counted as the sandbox's.
    Memory,
    /// Subvolumes of btrfs: of the data directory's own file system, or of one in a file.
    Btrfs,
    /// Directories with a project quota of the data directory's own file system.
    ProjectQuota,
}

/// A text that names no backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place for writable layers")]
pub struct BackendError(String);

impl Backend {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Memory, Self::Btrfs, Self::ProjectQuota];

    /// The word in settings and on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Memory => "memory",
            Self::Btrfs => "btrfs",
            Self::ProjectQuota => "project-quota",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let found = Self::ALL
            .into_iter()
            .find(|backend| backend.as_str() == text);
        found.ok_or_else(|| BackendError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_reads_back() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert!("disk".parse::<Backend>().is_err());
    }
}
