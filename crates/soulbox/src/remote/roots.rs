//! Who may vouch for a server that speaks TLS.

use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use soulbox_gateway::tls::authority;
use soulbox_settings::{Settings, Source as _};
use std::path::{Path, PathBuf};

/// The variable that names another file than the system's; OpenSSL's.
const VARIABLE: &str = "SSL_CERT_FILE";

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

/// The authorities of the file that the settings name, of a server with the same data directory, and of the
/// system.
///
/// # Errors
/// The file that the settings name holds none.
pub(crate) fn of(settings: &Settings) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let named = &settings.client.ca;
    if !named.as_os_str().is_empty() {
        add_named(&mut roots, named)?;
    }
    // It vouches for nothing but its server's domain. A file that cannot be read vouches for nobody.
    let own = authority::path(&settings.paths.data_dir);
    roots.add_parsable_certificates(certificates(&own).unwrap_or_default());
    let variable = Environment.variable(VARIABLE);
    let system = match variable.filter(|path| !path.is_empty()) {
        Some(path) => Some(PathBuf::from(path)),
        None => SYSTEM
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.is_file()),
    };
    let system = system.and_then(|path| certificates(&path).ok());
    roots.add_parsable_certificates(system.unwrap_or_default());
    Ok(roots)
}

fn add_named(roots: &mut RootCertStore, path: &Path) -> Result<(), Failure> {
    let wrong = |exit| {
        let what = format!("cannot take certificates from {}", path.display());
        Failure::new(exit, what).help(
            "--ca and setting client.ca name a file in PEM: `soulbox ca path` tells a server's",
        )
    };
    let found = certificates(path).map_err(|error| match error {
        pem::Error::Io(error) => wrong(Exit::NOT_FOUND).because(&error),
        error => wrong(Exit::USAGE).because(&error),
    })?;
    if found.is_empty() {
        return Err(wrong(Exit::USAGE));
    }
    for certificate in found {
        let added = roots.add(certificate);
        added.map_err(|error| wrong(Exit::USAGE).because(&error))?;
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
            let named = path.to_str().unwrap();
            let settings = Settings::with(&[("client.ca", named)]).unwrap();
            of(&settings).map(|roots| roots.len())
        };
        assert_eq!(ask().unwrap_err().exit, Exit::NOT_FOUND);
        for wrong in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(ask().unwrap_err().exit, Exit::USAGE, "{wrong:?}");
        }
    }
}
