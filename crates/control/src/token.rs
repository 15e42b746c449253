//! Tokens of sandboxes: derived from the node's secret, stored nowhere.
//!
//! `HMAC-SHA256(secret, purpose NUL id)`, in hexadecimal digits. A token is the same for the whole life of
//! its sandbox and needs no look-up; who steals the data directory's `node.key` has all of them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::{Mode, OFlags};
use sha2::Sha256;
use soulbox_model::SandboxId;
use soulbox_model::key::hex;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// Bytes of the secret.
const SECRET: usize = 32;

/// What a token is for: one for another purpose is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Talking to the sandbox's agent (E2B's `envdAccessToken`).
    Agent,
    /// Talking to the sandbox's own ports (E2B's `trafficAccessToken`).
    Traffic,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Traffic => "traffic",
        }
    }
}

/// A secret that cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the node's secret {}", path.display())]
pub struct SecretError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The secret of which tokens are derived.
pub struct NodeSecret([u8; SECRET]);

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret(…)")
    }
}

impl NodeSecret {
    /// Reads `node.key` of the data directory, or makes it, for its owner alone.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be read or written, or is cut off.
    pub fn open(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join("node.key");
        let fail = |source| SecretError {
            path: path.clone(),
            source,
        };
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read.map(Self).map_err(fail),
        }
        let mut secret = [0; SECRET];
        // Before the first bytes of a boot are random this waits; it never gives fewer bytes.
        rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| fail(errno.into()))?;
        write(data_dir, &path, &secret).map_err(fail)?;
        Ok(Self(secret))
    }

    /// The token of a sandbox.
    pub fn token(&self, purpose: Purpose, id: &SandboxId) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(purpose.word().as_bytes());
        mac.update(&[0]);
        mac.update(id.as_str().as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// What vouches for a permission that is given away: of all that it is made of, in order.
    pub fn sign(&self, parts: &[&str]) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(b"permission");
        for part in parts {
            mac.update(&[0]);
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes())
    }

    /// Whether `given` vouches for a permission, in a time that does not depend on where it differs.
    pub fn vouches(&self, parts: &[&str], given: &str) -> bool {
        let signed = self.sign(parts);
        !signed.is_empty() && bool::from(signed.as_bytes().ct_eq(given.as_bytes()))
    }

    /// Whether `given` is the token of a sandbox, in a time that does not depend on where it differs.
    pub fn accepts(&self, purpose: Purpose, id: &SandboxId, given: &str) -> bool {
        let token = self.token(purpose, id);
        !token.is_empty() && bool::from(token.as_bytes().ct_eq(given.as_bytes()))
    }
}

fn read(path: &Path) -> io::Result<[u8; SECRET]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let mut secret = [0; SECRET];
    std::fs::File::from(file).read_exact(&mut secret)?;
    Ok(secret)
}

/// Writes it under another name first: a secret that is cut off must not stay.
fn write(data_dir: &Path, path: &Path, secret: &[u8]) -> io::Result<()> {
    let draft = data_dir.join(format!("node.key.{}", std::process::id()));
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = std::fs::File::from(rustix::fs::open(&draft, flags, Mode::from(0o600))?);
    let written = file
        .write_all(secret)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn tokens_last_and_differ_by_purpose_and_sandbox() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (
            SandboxId::from_random([1; 20]),
            SandboxId::from_random([2; 20]),
        );
        let first = NodeSecret::open(directory.path()).unwrap();
        let token = first.token(Purpose::Agent, &one);
        let again = NodeSecret::open(directory.path()).unwrap();
        assert!(again.accepts(Purpose::Agent, &one, &token));
        assert!(!again.accepts(Purpose::Agent, &two, &token));
        assert!(!again.accepts(Purpose::Traffic, &one, &token));
        assert!(!again.accepts(Purpose::Agent, &one, ""));
        let mode = std::fs::metadata(directory.path().join("node.key"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_is_cut_off_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("node.key"), b"short").unwrap();
        assert!(NodeSecret::open(directory.path()).is_err());
    }
}
