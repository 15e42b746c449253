//! A certificate authority of this server's own, for names that nobody else certifies.
//!
//! It can certify nothing but the server's domain and what lies below it (name constraints,
//! [RFC 5280, section 4.2.1.10](https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.10)): whoever steals its
//! key can be no other site to those who trust it. Its key stays in the data directory, for its owner alone.
//! What it gives out is kept nowhere: each start makes another certificate.

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustix::fs::{Mode, OFlags};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long the authority lasts. Whoever trusts it does so by hand, so this is long.
const AUTHORITY_LASTS: Duration = Duration::days(3650);
/// How long a certificate lasts; each look makes another one, so that it is never near its end.
const CERTIFICATE_LASTS: Duration = Duration::days(30);
/// How far clocks of clients may be behind.
const CLOCKS_DIFFER: Duration = Duration::days(1);

/// An authority that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot use the certificate authority's file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Linux's error.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate for {domain}")]
    Make {
        /// For whom.
        domain: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// What it makes is not accepted by those who trust it.
    #[error(
        "the certificate authority in {} does not fit the domain {domain}, or is at its end; remove that \
         directory to have another one made, which clients must then be told to trust",
        directory.display()
    )]
    Unfit {
        /// Where it is.
        directory: PathBuf,
        /// For whom it was to certify.
        domain: String,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// The file with the authority's certificate, which clients are told to trust.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    directory(data_dir).join("ca.pem")
}

fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// The authority for one domain.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
    domain: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads it from the data directory, or makes it.
    pub(super) fn open(data_dir: &Path, domain: &str) -> Result<Self, AuthorityError> {
        let directory = directory(data_dir);
        let (cert_path, key_path) = (path(data_dir), directory.join("ca.key"));
        let file = |path: &Path| {
            let path = path.to_owned();
            |source| AuthorityError::File { path, source }
        };
        let make = |source| AuthorityError::Make {
            domain: domain.to_owned(),
            source,
        };
        let params = params(domain);
        // The key is written first: without the certificate the two are made anew.
        if !cert_path.try_exists().map_err(file(&cert_path))? {
            std::fs::create_dir_all(&directory).map_err(file(&directory))?;
            let key = KeyPair::generate().map_err(make)?;
            let certificate = params.self_signed(&key).map_err(make)?;
            let key = key.serialize_pem();
            write(&key_path, &key, 0o600).map_err(file(&key_path))?;
            write(&cert_path, &certificate.pem(), 0o644).map_err(file(&cert_path))?;
        }
        let unreadable = |error: rustls::pki_types::pem::Error| io::Error::other(error.to_string());
        let certificate = CertificateDer::from_pem_file(&cert_path);
        let certificate = certificate.map_err(unreadable).map_err(file(&cert_path))?;
        let key = std::fs::read_to_string(&key_path).map_err(file(&key_path))?;
        let key = KeyPair::from_pem(&key).map_err(make)?;
        Ok(Self {
            directory,
            domain: domain.to_owned(),
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// A new certificate for the domain and all names right below it, with its key.
    pub(super) fn certificate(
        &self,
        crypto: &CryptoProvider,
    ) -> Result<CertifiedKey, AuthorityError> {
        let domain = &self.domain;
        let make = |source| AuthorityError::Make {
            domain: domain.clone(),
            source,
        };
        let unfit = |source| AuthorityError::Unfit {
            directory: self.directory.clone(),
            domain: domain.clone(),
            source,
        };
        let names = vec![domain.clone(), format!("*.{domain}")];
        let mut params = CertificateParams::new(names).map_err(make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "SoulBox");
        lasts(&mut params, CERTIFICATE_LASTS);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| unfit(rustls::Error::General(error.to_owned())))?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        self.check(certificate.der(), crypto).map_err(unfit)?;
        CertifiedKey::from_der(chain, private, crypto).map_err(unfit)
    }

    /// Looks at a certificate as a client would that trusts this authority.
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        crypto: &CryptoProvider,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let crypto = Arc::new(crypto.clone());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto);
        let verifier = verifier
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let name = ServerName::try_from(format!("80-x.{}", self.domain))
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now())?;
        Ok(())
    }
}

/// What the authority is. Its name must not change from one start to the next.
fn params(domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("SoulBox local authority for {domain}");
    // A name has 64 letters at the most.
    let name: String = name.chars().take(64).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    lasts(&mut params, AUTHORITY_LASTS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    params
}

fn lasts(params: &mut CertificateParams, time: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCKS_DIFFER;
    params.not_after = now + time;
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension(format!("draft{}", std::process::id()));
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let written = (|| {
        let mut file = std::fs::File::from(rustix::fs::open(&draft, flags, Mode::from(mode))?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn crypto() -> CryptoProvider {
        rustls::crypto::ring::default_provider()
    }

    #[test]
    fn an_authority_lasts_from_start_to_start() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Authority::open(directory.path(), "sandbox.localhost").unwrap();
        let first = open();
        let made = first.certificate(&crypto()).unwrap();
        let second = open();
        assert_eq!(first.certificate, second.certificate);
        let again = second.certificate(&crypto()).unwrap();
        assert_ne!(made.cert, again.cert, "certificates are new each time");
        assert!(made.keys_match().is_ok());
        let key = std::fs::metadata(directory.path().join("tls/ca.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let left = std::fs::read_dir(directory.path().join("tls"))
            .unwrap()
            .count();
        assert_eq!(left, 2);
    }

    #[test]
    fn an_authority_certifies_no_other_domain() {
        let directory = tempfile::tempdir().unwrap();
        Authority::open(directory.path(), "one.test").unwrap();
        let other = Authority::open(directory.path(), "two.test").unwrap();
        let refused = other.certificate(&crypto());
        assert!(
            matches!(refused, Err(AuthorityError::Unfit { .. })),
            "{refused:?}"
        );
        let below = Authority::open(directory.path(), "deep.one.test");
        // Its name is another one, so that it is not the same authority.
        assert!(below.unwrap().certificate(&crypto()).is_err());
    }

    #[test]
    fn a_file_that_is_no_certificate_is_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tls")).unwrap();
        std::fs::write(path(directory.path()), "nonsense").unwrap();
        let opened = Authority::open(directory.path(), "one.test");
        assert!(
            matches!(opened, Err(AuthorityError::File { .. })),
            "{opened:?}"
        );
    }
}
