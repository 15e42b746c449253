//! Connections to a server: TCP, and TLS where its URL says so.

use crate::roots::{Trust, TrustError};
use crate::url::Url;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use soulbox_agent_client::{Connect, Connecting, Duplex};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The protocol that is spoken over TLS
/// ([ALPN](https://www.iana.org/assignments/tls-extensiontype-values)).
const HTTP1: &[u8] = b"http/1.1";

/// The names of this machine: what is below this one, too, and no resolver is asked
/// ([RFC 6761, section 6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).
const LOCAL: &str = "localhost";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Nobody accepts one.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Nobody who is trusted vouches for the server.
    #[error("its certificate is not trusted")]
    Untrusted(#[source] rustls::Error),
    /// It does not speak TLS, or not as this program does.
    #[error("the handshake of TLS failed")]
    Shake(#[source] io::Error),
}

/// Why no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No certificate can be for the server's name.
    #[error("no certificate can be for the host {host:?}")]
    Name {
        /// The name.
        host: String,
        /// Why.
        source: InvalidDnsNameError,
    },
    /// A file with certificates is wrong.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

impl From<LineError> for io::Error {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Connect(error) => error,
            error => Self::other(error),
        }
    }
}

/// The way to a server. Clones share what is trusted.
#[derive(Debug, Clone)]
pub struct Line {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Line {
    /// The way to the server at `url`, for which `trust` may vouch if it speaks TLS.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub fn to(url: &Url, trust: &Trust) -> Result<Self, SetUpError> {
        let tls = match url.is_encrypted() {
            true => Some(secured(url.host(), trust.roots()?)?),
            false => None,
        };
        Ok(Self {
            host: url.host().to_owned(),
            port: url.port(),
            tls,
        })
    }

    /// Opens a connection. Whoever waits bounds the time.
    ///
    /// # Errors
    /// [`LineError`].
    pub async fn open(&self) -> Result<Box<dyn Duplex>, LineError> {
        let stream = self.dial().await.map_err(LineError::Connect)?;
        stream.set_nodelay(true).map_err(LineError::Connect)?;
        let Some((config, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let shaken = connector.connect(name.clone(), stream).await;
        Ok(Box::new(shaken.map_err(why)?))
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        if !is_local(&self.host) {
            return TcpStream::connect((self.host.as_str(), self.port)).await;
        }
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let both = both.map(|address| (address, self.port).into());
        TcpStream::connect(both.as_slice()).await
    }
}

impl Connect for Line {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async { Ok(self.open().await?) })
    }
}

fn is_local(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let below = host.strip_suffix(LOCAL);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

fn secured(
    host: &str,
    roots: RootCertStore,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), SetUpError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|source| SetUpError::Name {
        host: host.to_owned(),
        source,
    })?;
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions();
    let config = config.map_err(SetUpError::Tls)?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok((Arc::new(config), name))
}

fn why(error: io::Error) -> LineError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(found @ rustls::Error::InvalidCertificate(_)) => LineError::Untrusted(found.clone()),
        _ => LineError::Shake(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_machine() {
        for local in ["localhost", "sandbox.localhost", "80-i.Sandbox.LOCALHOST"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["notlocalhost", "localhost.example", "", "127.0.0.1"] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn an_encrypted_line_needs_a_name_that_a_certificate_can_have() {
        let line = |url: &str| Line::to(&Url::parse(url).unwrap(), &Trust::default());
        assert!(line("http://under_score:1").unwrap().tls.is_none());
        assert!(line("https://box.example").unwrap().tls.is_some());
        assert!(line("https://[::1]:8443").unwrap().tls.is_some());
        let wrong = line("https://-:1");
        assert!(matches!(wrong, Err(SetUpError::Name { .. })), "{wrong:?}");
    }
}
