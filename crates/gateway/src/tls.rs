//! TLS: which certificate is shown, and the handshake.
//!
//! The certificate comes from files that the operator names, or from a [local authority](authority) that is
//! made at the first start. It is looked at again every hour: files may have been exchanged, and what the
//! authority gave out is renewed long before it ends. Connections that stand keep what they began with.

pub mod authority;

use authority::{Authority, AuthorityError};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use soulbox_settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// The protocols that are offered, the preferred one first
/// ([ALPN](https://www.iana.org/assignments/tls-extensiontype-values)).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("cannot read {} (settings server.tls_cert and server.tls_key)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Only one of the two files is named.
    #[error("settings server.tls_cert and server.tls_key belong together: only one of them is set")]
    Half,
    /// The certificate and its key cannot be used.
    #[error("the certificate cannot be used with its key")]
    Unusable(#[from] rustls::Error),
    /// The local authority cannot give a certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Where certificates come from.
#[derive(Debug)]
enum Source {
    Files { cert: PathBuf, key: PathBuf },
    Authority(Box<Authority>),
}

impl Source {
    fn load(&self, crypto: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Files { cert, key } => from_files(cert, key, crypto),
            Self::Authority(authority) => Ok(authority.certificate(crypto)?),
        }
    }
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown))
    }
}

/// What speaks TLS.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    source: Source,
    crypto: Arc<CryptoProvider>,
    handshake: Duration,
}

impl Tls {
    /// Reads or makes the certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(settings: &Settings) -> Result<Self, TlsError> {
        let server = &settings.server;
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let source = match (server.tls_cert.as_os_str(), server.tls_key.as_os_str()) {
            (cert, key) if cert.is_empty() && key.is_empty() => {
                let domain = server.domain.split(':').next().unwrap_or_default();
                Source::Authority(Box::new(Authority::open(&settings.paths.data_dir, domain)?))
            }
            (cert, key) if cert.is_empty() || key.is_empty() => return Err(TlsError::Half),
            (cert, key) => Source::Files {
                cert: cert.into(),
                key: key.into(),
            },
        };
        let first = source.load(&crypto)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(first))));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&crypto))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as _);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self {
            acceptor: Arc::new(config).into(),
            shown,
            source,
            crypto,
            handshake: server.handshake_timeout,
        })
    }

    /// Looks at the certificate from time to time, for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.source.load(&self.crypto) {
                Ok(certificate) => {
                    let mut shown = self.shown.0.write().unwrap_or_else(PoisonError::into_inner);
                    *shown = Arc::new(certificate);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the certificate stays as it was");
                }
            }
        }
    }

    /// Shakes hands with a client within the time limit; none if that fails, which is the client's affair.
    pub(crate) async fn shake(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let shaken = tokio::time::timeout(self.handshake, self.acceptor.accept(stream)).await;
        shaken.ok()?.ok()
    }
}

/// Whether the two agreed on HTTP/2.
pub(crate) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

fn from_files(cert: &Path, key: &Path, crypto: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        |source| TlsError::File { path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .map_err(fail(cert))?
        .collect();
    let private = PrivateKeyDer::from_pem_file(key).map_err(fail(key))?;
    Ok(CertifiedKey::from_der(
        chain.map_err(fail(cert))?,
        private,
        crypto,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_settings::Settings;

    fn settings(data_dir: &Path, more: &[(&'static str, &str)]) -> Settings {
        let directory = data_dir.to_str().unwrap();
        let all: Vec<(&'static str, &str)> = [("data_dir", directory)]
            .iter()
            .chain(more)
            .copied()
            .collect();
        Settings::with(&all).unwrap()
    }

    #[test]
    fn a_certificate_from_files_is_taken_and_a_wrong_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let open = |cert: &str, key: &str| {
            let path = |name: &str| match name {
                "" => String::new(),
                name => directory.path().join(name).display().to_string(),
            };
            let (cert, key) = (path(cert), path(key));
            let both = [("server.tls_cert", &*cert), ("server.tls_key", &*key)];
            // A setting that is nothing is left out.
            let given: Vec<_> = both
                .into_iter()
                .filter(|(_, path)| !path.is_empty())
                .collect();
            Tls::open(&settings(directory.path(), &given))
        };
        for name in ["a", "b"] {
            let made = rcgen::generate_simple_self_signed(vec!["x.test".to_owned()]).unwrap();
            let path = |kind| directory.path().join(format!("{name}.{kind}"));
            std::fs::write(path("pem"), made.cert.pem()).unwrap();
            std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        }
        assert!(open("a.pem", "a.key").is_ok());
        assert!(matches!(open("a.pem", ""), Err(TlsError::Half)));
        assert!(matches!(open("a.pem", "b.key"), Err(TlsError::Unusable(_))));
        assert!(matches!(
            open("none.pem", "a.key"),
            Err(TlsError::File { .. })
        ));
        assert!(matches!(open("a.pem", "a.pem"), Err(TlsError::File { .. })));
    }
}
