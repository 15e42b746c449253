//! The plain routes about files: `/files` and `/files/compose`.

pub(crate) mod body;
pub(crate) mod compose;
pub(crate) mod content_type;
pub(crate) mod disposition;
pub(crate) mod download;
pub(crate) mod encoding;
pub(crate) mod metadata;
pub(crate) mod multipart;
pub(crate) mod range;
pub(crate) mod save;
pub(crate) mod target;
pub(crate) mod upload;
