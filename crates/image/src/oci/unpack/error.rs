//! Why a layer is not unpacked.

use crate::remove::RemoveError;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// What is wrong with the path of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It names nothing.
    #[error("names no file")]
    Empty,
    /// It leads up.
    #[error("leads out of the directory that it is in")]
    Up,
    /// It has a zero byte.
    #[error("has a zero byte")]
    Zero,
    /// It or a name in it is too long, or it is too deep.
    #[error("is too long or too deep")]
    Long,
    /// It is below the mark of something that is gone, or the mark has no name.
    #[error("has the mark of a removed file where none can be")]
    Mark,
    /// A directory of it is a file.
    #[error("is a file and would have to be a directory")]
    FileInTheWay,
    /// A directory of it is a link to nothing.
    #[error("is a link that leads to no directory of the layer")]
    LinkInTheWay,
    /// It is a hard link to what is no file of the layer.
    #[error("is another name of something that is no file of the layer")]
    Twin,
    /// It is the root and no directory.
    #[error("is the root and no directory")]
    Root,
    /// It says that nothing of the layers below shows.
    #[error("removes all that is below the layer, which is not supported")]
    AllGone,
    /// It is a file that is mostly holes.
    #[error("is a sparse file, which is not supported: make the image without --sparse")]
    Sparse,
    /// It is of an unknown kind.
    #[error("is of a kind that layers do not have")]
    Kind,
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The file could not be read.
    #[error("cannot read the tar file")]
    Read(#[source] io::Error),
    /// The file ends in the middle.
    #[error("the tar file ends in the middle of a member")]
    Truncated,
    /// It is no tar file.
    #[error("the tar file is damaged: {0}")]
    Damaged(&'static str),
    /// A path that cannot be.
    #[error("in the tar file, {path:?} {problem}")]
    Path {
        /// The path, shortened.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// There is more than may be.
    #[error("the tar file has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: u64,
    },
    /// Something that came earlier could not be replaced.
    #[error("cannot replace {path:?}")]
    Replace {
        /// The path in the layer.
        path: PathBuf,
        /// Why.
        source: RemoveError,
    },
    /// Linux refused a step.
    #[error("cannot {what} {path:?}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The path in the layer.
        path: PathBuf,
        /// What Linux said.
        source: io::Error,
    },
}

impl UnpackError {
    pub(super) fn path(path: &[u8], problem: Problem) -> Self {
        Self::Path {
            path: shown(path),
            problem,
        }
    }
}

/// A path as far as messages have it.
pub(super) fn shown(path: &[u8]) -> PathBuf {
    String::from_utf8_lossy(&path[..path.len().min(300)])
        .into_owned()
        .into()
}

pub(super) fn refused(what: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> UnpackError {
    move |errno| UnpackError::Refused {
        what,
        path: shown(path),
        source: errno.into(),
    }
}
