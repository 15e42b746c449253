//! The real environment and files, for the settings.

use soulbox_settings::Source;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The environment and file system of this process.
pub(crate) struct Environment;

impl Source for Environment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn variables(&self) -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| name.starts_with("SOULBOX_")).collect()
    }

    fn file(&self, path: &Path) -> io::Result<Option<String>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn user_id(&self) -> u32 {
        user_id()
    }
}

/// Who the user was when this was asked first: in a user namespace of the user's own, everybody is
/// root.
pub(crate) fn user_id() -> u32 {
    static FIRST: OnceLock<u32> = OnceLock::new();
    *FIRST.get_or_init(|| rustix::process::geteuid().as_raw())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
