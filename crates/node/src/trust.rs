//! The operator's extra CA certificates in sandboxes.
//!
//! Where a proxy of the operator's ends TLS, programs in sandboxes must trust its certificate.
//! The files of the setting `network.extra_ca_certificates` are read strictly, put behind the
//! certificates of the template, and the result is mounted read-only over the template's own
//! bundle. Programs that look elsewhere are told by environment variables.
//!
//! Java keeps its certificates in a format of its own and is not served.
//!
//! | Part | File |
//! |---|---|
//! | reading certificates | [`certificate`] |

pub mod certificate;

use certificate::CertificateError;
use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest, Sha256};
use soulbox_image::layers::{Found, Layers};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where distributions keep all certificates in one file, below the root of a template: Debian,
/// Ubuntu, Alpine and Arch; Fedora and its kin; openSUSE.
const BUNDLES: [&str; 3] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
];

/// A template's bundle beyond this is not merged. Debian's has 220 KB.
const LARGEST_BUNDLE: u64 = 8 * 1024 * 1024;

/// The files of one setting together.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A program that does not look at the bundle, and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The environment variable whose value is the bundle's path.
    pub name: &'static str,
    /// Who needs it.
    pub reason: &'static str,
}

/// What tool chains need beside the bundle itself. curl, git, wget and Go read the bundle.
pub const VARIABLES: [Variable; 5] = [
    Variable {
        name: "SSL_CERT_FILE",
        reason: "Programs on OpenSSL that read a directory of hashed names by default: Python, \
                 Ruby, Perl, PHP, uv, cargo.",
    },
    Variable {
        name: "REQUESTS_CA_BUNDLE",
        reason: "Python's requests, and pip and conda on it, bring a list of their own.",
    },
    Variable {
        name: "NODE_EXTRA_CA_CERTS",
        reason: "Node.js, and npm on it, have a list compiled in.",
    },
    Variable {
        name: "AWS_CA_BUNDLE",
        reason: "boto3 and the AWS command line bring a list of their own.",
    },
    Variable {
        name: "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        reason: "gRPC, and the clouds' libraries on it, have a list compiled in.",
    },
];

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read or written.
    #[error("cannot {what} {path:?}")]
    File {
        /// What was being done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it must be.
    #[error("network.extra_ca_certificates: {path:?} {problem}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in the form that follows its name.
        problem: CertificateError,
    },
    /// A template's bundle is not what it must be.
    #[error("the template's bundle {0:?} is not a regular file of at most {LARGEST_BUNDLE} bytes")]
    Bundle(PathBuf),
}

/// The operator's certificates, checked.
#[derive(Debug)]
pub struct Trust {
    extra: String,
    cache: PathBuf,
    known: Mutex<HashMap<State, Bundle>>,
}

/// What changes when a template's bundle does: device, inode, size, time and its fraction.
type State = (u64, u64, u64, i64, i64);

/// A file to mount read-only into sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The file on the host.
    pub file: PathBuf,
    /// Where it belongs in the sandbox: an absolute path without links.
    pub at: String,
}

impl Bundle {
    /// The variables for the environment of each process in the sandbox.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES
            .iter()
            .map(|variable| (variable.name, self.at.as_str()))
    }
}

impl Trust {
    /// Reads the operator's files; none when the setting is empty. Bundles are kept in `cache`, a
    /// directory that only the host sees.
    ///
    /// # Errors
    /// A file cannot be read, is too large, or is not certificates only.
    pub fn read(files: &[PathBuf], cache: &Path) -> Result<Option<Self>, TrustError> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut extra = String::new();
        for path in files {
            extra += &read_certificates(path)?;
        }
        std::fs::create_dir_all(cache).map_err(failed("make the directory", cache))?;
        Ok(Some(Self {
            extra,
            cache: cache.to_owned(),
            known: Mutex::default(),
        }))
    }

    /// The bundle for sandboxes of the template whose root tree is `root`; none when the template
    /// has no bundle, and so nothing in it that would use one. Links in the tree lead nowhere
    /// outside of it. Quick when the template was asked for before.
    ///
    /// # Errors
    /// The template's bundle cannot be read, or the merged one not written.
    pub fn bundle(&self, layers: &Layers) -> Result<Option<Bundle>, TrustError> {
        let found = BUNDLES.iter().find_map(|name| layers.find(Path::new(name)));
        found.map(|found| self.merged(&found)).transpose()
    }

    fn merged(&self, found: &Found) -> Result<Bundle, TrustError> {
        let (path, stat) = (&found.host, &found.metadata);
        if !stat.is_file() || stat.len() > LARGEST_BUNDLE {
            return Err(TrustError::Bundle(path.clone()));
        }
        let state = (
            stat.dev(),
            stat.ino(),
            stat.len(),
            stat.mtime(),
            stat.mtime_nsec(),
        );
        if let Some(bundle) = self.known().get(&state)
            && bundle.file.exists()
        {
            return Ok(bundle.clone());
        }
        let at = found.guest.to_str().map(str::to_owned);
        let at = at.ok_or_else(|| TrustError::Bundle(path.clone()))?;
        let mut merged = Vec::new();
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        std::fs::File::options()
            .read(true)
            .custom_flags(no_follow)
            .open(path)
            .and_then(|file| file.take(LARGEST_BUNDLE).read_to_end(&mut merged))
            .map_err(failed("read", path))?;
        if !merged.ends_with(b"\n") {
            merged.push(b'\n');
        }
        merged.extend_from_slice(self.extra.as_bytes());
        let bundle = Bundle {
            file: self.store(&merged)?,
            at,
        };
        let mut known = self.known();
        known.retain(|_, old| old.file.exists());
        known.insert(state, bundle.clone());
        Ok(bundle)
    }

    /// Writes a bundle under a name made of its content, unless it is there.
    fn store(&self, content: &[u8]) -> Result<PathBuf, TrustError> {
        let name: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = self.cache.join(format!("{name}.crt"));
        if path
            .metadata()
            .is_ok_and(|there| there.len() == content.len() as u64)
        {
            return Ok(path);
        }
        // Whole or not at all, also when two engines write it at once.
        let write = || -> std::io::Result<()> {
            let mut new = tempfile_in(&self.cache, &name)?;
            new.0.write_all(content)?;
            std::fs::rename(&new.1, &path)
        };
        write().map_err(failed("write", &path))?;
        Ok(path)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<State, Bundle>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_certificates(path: &Path) -> Result<String, TrustError> {
    let file = std::fs::File::open(path).map_err(failed("open", path))?;
    let mut text = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed("read", path))?;
    let wrong = |problem| TrustError::Certificates {
        path: path.to_owned(),
        problem,
    };
    if text.len() as u64 > LARGEST_FILE {
        return Err(wrong(CertificateError::TooLarge(LARGEST_FILE)));
    }
    certificate::read(&text).map_err(wrong)
}

/// A new file beside the one that it will be, and its path.
fn tempfile_in(directory: &Path, name: &str) -> std::io::Result<(std::fs::File, PathBuf)> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let path = directory.join(format!(".{name}.{:016x}", u64::from_ne_bytes(random)));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let readable = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = rustix::fs::openat(CWD, &path, flags, readable)?;
    // Whatever the engine's umask: processes of every user in sandboxes read it.
    rustix::fs::fchmod(&file, readable)?;
    Ok((file.into(), path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrustError {
    let path = path.to_owned();
    move |source| TrustError::File { what, path, source }
}

#[cfg(test)]
mod tests;
