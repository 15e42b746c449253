//! How a path in a request becomes an absolute one.

use crate::account::Account;
use crate::limits;
use std::path::{Component, Path, PathBuf};

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("path is longer than {} bytes", limits::PATH)]
    TooLong,
    #[error("path contains a zero byte")]
    ZeroByte,
    #[error("path '{0}' names another user's home directory, which is not supported")]
    OtherHome(String),
}

/// Resolves `path` for `account`: the default directory when empty, below the home directory
/// when relative or beginning with `~/`, otherwise as it is; without `.` and `..`.
pub(crate) fn resolve(
    path: &str,
    account: &Account,
    workdir: Option<&str>,
) -> Result<PathBuf, PathError> {
    if path.contains('\0') {
        return Err(PathError::ZeroByte);
    }
    let home = Path::new(&account.home);
    let joined = match path.strip_prefix('~') {
        _ if path.is_empty() => workdir.map_or_else(|| home.to_owned(), |dir| home.join(dir)),
        None => home.join(path),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => return Err(PathError::OtherHome(path.to_owned())),
    };
    let cleaned = clean(&joined);
    if cleaned.as_os_str().len() > limits::PATH {
        return Err(PathError::TooLong);
    }
    Ok(cleaned)
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// The last part of a path; `/` has none and is called so.
pub(crate) fn base_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::process::{Gid, Uid};

    fn account() -> Account {
        Account {
            name: "user".into(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(1000),
            home: "/home/user".into(),
            groups: Vec::new(),
        }
    }

    #[test]
    fn paths_resolve_by_the_rules() {
        let table = [
            ("", None, "/home/user"),
            ("", Some("/work"), "/work"),
            ("", Some("sub"), "/home/user/sub"),
            ("~", Some("/work"), "/home/user"),
            ("~/", None, "/home/user"),
            ("~/a", None, "/home/user/a"),
            ("a/b", Some("/work"), "/home/user/a/b"),
            ("./a/../b", None, "/home/user/b"),
            ("../../../..", None, "/"),
            ("/a//b/./c/..", None, "/a/b"),
            ("/", None, "/"),
            ("a~", None, "/home/user/a~"),
        ];
        for (path, workdir, expected) in table {
            assert_eq!(
                resolve(path, &account(), workdir).unwrap(),
                Path::new(expected),
                "{path}"
            );
        }
        let other = Err(PathError::OtherHome("~root/x".into()));
        assert_eq!(resolve("~root/x", &account(), None), other);
        assert_eq!(resolve("a\0b", &account(), None), Err(PathError::ZeroByte));
        assert_eq!(
            resolve(&"x/".repeat(3000), &account(), None),
            Err(PathError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn what_resolves_is_absolute_and_clean(path in any::<String>()) {
            if let Ok(resolved) = resolve(&path, &account(), None) {
                prop_assert!(resolved.is_absolute());
                let dirty = |part| matches!(part, Component::ParentDir | Component::CurDir);
                prop_assert!(!resolved.components().any(dirty));
            }
        }
    }
}
