//! What a sandbox is asked to be.

use crate::id::TemplateName;
use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// How a sandbox is kept apart from the host and from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Linux namespaces with a range of host ids per sandbox; shares the host's Linux.
    #[default]
    Namespace,
}

impl Isolation {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
        }
    }
}

/// What a sandbox reaches over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Nothing but its own loopback.
    #[default]
    None,
    /// Public addresses, by address translation, less the fixed block list.
    Internet,
}

impl NetworkMode {
    /// The word on the command line and on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Internet => "internet",
        }
    }
}

/// A directory or file of the host inside the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The path on the host: absolute, existing.
    pub host: PathBuf,
    /// The path in the sandbox: absolute, without `..`.
    pub guest: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// A mount that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Not of the form `HOST:GUEST[:ro]`.
    #[error("mount {0:?} must be written HOST:GUEST or HOST:GUEST:ro")]
    Form(String),
    /// The guest path is not absolute, climbs, or is one that the sandbox itself needs.
    #[error(
        "mount target {0:?} must be an absolute path without '..', and not /, /proc, /dev or /sys"
    )]
    Guest(PathBuf),
}

impl Mount {
    /// Reads `HOST:GUEST[:ro|:rw]`. A relative host path stays relative: the caller resolves it.
    ///
    /// # Errors
    /// [`MountError`] when the form or the guest path is wrong.
    pub fn parse(text: &str) -> Result<Self, MountError> {
        let form = || MountError::Form(text.chars().take(200).collect());
        let (rest, read_only) = match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, true),
            Some((rest, "rw")) => (rest, false),
            _ => (text, false),
        };
        let (host, guest) = rest.rsplit_once(':').ok_or_else(form)?;
        if host.is_empty() || guest.is_empty() || text.contains('\0') {
            return Err(form());
        }
        let guest = PathBuf::from(guest);
        check_guest(&guest)?;
        Ok(Self {
            host: PathBuf::from(host),
            guest,
            read_only,
        })
    }
}

/// Checks a guest path of a mount.
fn check_guest(guest: &Path) -> Result<(), MountError> {
    let refuse = || MountError::Guest(guest.to_owned());
    let mut parts = guest.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(refuse());
    }
    let names: Vec<_> = parts
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(refuse()),
        })
        .collect::<Result<_, _>>()?;
    match names.first() {
        None => Err(refuse()),
        Some(top) if ["proc", "dev", "sys"].iter().any(|kept| top == kept) => Err(refuse()),
        Some(_) => Ok(()),
    }
}

/// What a sandbox is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The template whose tree is its root.
    pub template: TemplateName,
    /// How it is kept apart.
    pub isolation: Isolation,
    /// What it may use.
    pub limits: Limits,
    /// What it reaches.
    pub network: NetworkMode,
    /// Directories of the host inside it.
    pub mounts: Vec<Mount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_written() {
        let mount = Mount::parse("/srv/data:/data:ro");
        assert_eq!(
            mount,
            Ok(Mount {
                host: "/srv/data".into(),
                guest: "/data".into(),
                read_only: true
            })
        );
        assert_eq!(
            Mount::parse("a:b:/c").map(|m| (m.host, m.read_only)),
            Ok(("a:b".into(), false))
        );
    }

    #[test]
    fn mounts_never_cover_what_the_sandbox_needs() {
        for bad in [
            "/a",
            "/a:",
            ":/b",
            "/a:b",
            "/a:/",
            "/a:/proc/sys",
            "/a:/dev",
            "/a:/x/../..",
            "/a:ro",
        ] {
            assert!(Mount::parse(bad).is_err(), "{bad:?}");
        }
    }
}
