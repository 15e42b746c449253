//! Who may vouch for a server that speaks TLS.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use std::io;
use std::path::{Path, PathBuf};

/// A file that was named and vouches for nobody.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("cannot take certificates from {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it holds is no PEM, or no certificate.
    #[error("cannot take certificates from {}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It holds no certificate.
    #[error("cannot take certificates from {}: it holds none", .0.display())]
    Nothing(PathBuf),
}

/// Where systems keep those whom they trust; the first that is there counts.
const SYSTEM: [&str; 4] = [
    // Debian, Ubuntu, Alpine, Arch
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whose certificates are trusted, beside each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file in PEM that must hold some.
    pub named: Option<PathBuf>,
    /// A file in PEM that counts if it can be read: that of a server on this machine.
    pub own: Option<PathBuf>,
    /// The system's file; none: where systems keep theirs.
    pub system: Option<PathBuf>,
}

impl Trust {
    /// Those of the files.
    pub(crate) fn roots(&self) -> Result<RootCertStore, TrustError> {
        let mut roots = RootCertStore::empty();
        if let Some(named) = &self.named {
            add_named(&mut roots, named)?;
        }
        // It vouches for nothing but its server's domain. A file that cannot be read vouches for nobody.
        let own = self.own.as_deref().and_then(|path| certificates(path).ok());
        roots.add_parsable_certificates(own.unwrap_or_default());
        let system = match &self.system {
            Some(path) => Some(path.clone()),
            None => SYSTEM
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.is_file()),
        };
        let system = system.and_then(|path| certificates(&path).ok());
        roots.add_parsable_certificates(system.unwrap_or_default());
        Ok(roots)
    }
}

fn add_named(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| TrustError::Wrong {
        path: path.to_owned(),
        source,
    };
    let found = certificates(path).map_err(|error| match error {
        pem::Error::Io(source) => TrustError::Unreadable {
            path: path.to_owned(),
            source,
        },
        error => wrong(error.into()),
    })?;
    if found.is_empty() {
        return Err(TrustError::Nothing(path.to_owned()));
    }
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| wrong(error.into()))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_must_hold_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let ask = || {
            let trust = Trust {
                named: Some(path.clone()),
                ..Trust::default()
            };
            trust.roots().map(|roots| roots.len())
        };
        assert!(matches!(ask(), Err(TrustError::Unreadable { .. })));
        for wrong in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let refused = ask();
            let expected = matches!(
                refused,
                Err(TrustError::Wrong { .. } | TrustError::Nothing(_))
            );
            assert!(expected, "{wrong:?}: {refused:?}");
        }
    }
}
