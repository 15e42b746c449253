//! The plain routes about files: `/files` and `/files/compose`.

pub(crate) mod download;
pub(crate) mod save;
pub(crate) mod target;
pub(crate) mod upload;
