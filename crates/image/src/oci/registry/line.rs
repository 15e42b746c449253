//! The way to a host: TCP, perhaps through a proxy, and TLS.

use super::options::RegistryOptions;
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why the registries cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file with certificates is none.
    #[error("cannot take certificates from {path:?} (setting registry.ca_certificates)")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Nobody accepts one.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// It is not a host on the internet.
    #[error(
        "its address {0} is not one of the internet; an operator can let it be used by the setting \
         registry.insecure"
    )]
    Private(IpAddr),
    /// Nobody who is trusted vouches for it.
    #[error(
        "its certificate is not trusted; the setting registry.ca_certificates adds authorities"
    )]
    Untrusted(#[source] rustls::Error),
    /// It does not speak TLS, or not as we do.
    #[error("it does not speak TLS; the setting registry.insecure allows plain HTTP")]
    NotTls(#[source] io::Error),
    /// The proxy did not let it through.
    #[error("the proxy does not let the connection through: it answered with status {0}")]
    Proxy(StatusCode),
    /// The connection to the proxy broke.
    #[error("the connection to the proxy broke")]
    ProxyBroken(#[from] hyper::Error),
    /// The name of the host cannot be in a certificate, or in an address.
    #[error("its name is no host name")]
    Name,
}

/// What bytes go over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, and how requests are written on it.
pub(super) struct Line {
    pub(super) stream: Box<dyn Duplex>,
    /// What a proxy for plain HTTP wants to know of us; `Some`: it wants whole addresses too.
    pub(super) proxy: Option<Intercept>,
}

/// Opens connections.
pub(super) struct Lines {
    tls: TlsConnector,
    proxies: Matcher,
    /// Only hosts of the internet, and those that are named in the options.
    public_only: bool,
    named: Vec<String>,
}

impl Lines {
    pub(super) fn new(options: &RegistryOptions) -> Result<Self, TrustError> {
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions()?;
        let roots = roots(&options.ca_certificates)?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let proxies = &options.proxies;
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            proxies: Matcher::builder()
                .all(proxies.all.clone())
                .http(proxies.http.clone())
                .https(proxies.https.clone())
                .no(proxies.none.clone())
                .build(),
            public_only: options.public_only,
            named: options.named_hosts(),
        })
    }

    /// Opens a connection to the host of `url`. Whoever waits bounds the time.
    pub(super) async fn open(&self, url: &Uri) -> Result<Line, LineError> {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(LineError::Name);
        };
        let encrypted = *scheme == Scheme::HTTPS;
        let port = port_of(authority, encrypted);
        // A machine's own loopback is never behind a proxy.
        let proxy = self
            .proxies
            .intercept(url)
            .filter(|_| !is_loopback(authority.host()));
        let stream: Box<dyn Duplex> = match &proxy {
            None => Box::new(self.dial(authority, port).await?),
            Some(proxy) => {
                let place = proxy.uri().authority().ok_or(LineError::Name)?;
                let stream = connect(place.host(), place.port_u16().unwrap_or(80)).await?;
                match encrypted {
                    true => Box::new(through(stream, proxy, authority.host(), port).await?),
                    false => Box::new(stream),
                }
            }
        };
        if !encrypted {
            return Ok(Line { stream, proxy });
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| LineError::Name)?;
        let stream = self.tls.connect(name, stream).await.map_err(why)?;
        Ok(Line {
            stream: Box::new(stream),
            proxy: None,
        })
    }

    async fn dial(&self, authority: &Authority, port: u16) -> Result<TcpStream, LineError> {
        let host = authority.host();
        if !self.public_only || self.named.iter().any(|named| named == authority.as_str()) {
            return connect(host, port).await;
        }
        // What was looked up is what is connected to: a second answer could be another one.
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(LineError::Connect)?.collect();
        if let Some(private) = addresses.iter().find(|address| !is_public(address.ip())) {
            return Err(LineError::Private(private.ip()));
        }
        let stream = TcpStream::connect(addresses.as_slice()).await;
        stream.map_err(LineError::Connect)
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, LineError> {
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
    stream.map_err(LineError::Connect)
}

/// Has a proxy connect to a host (RFC 9110, section 9.3.6).
async fn through(
    stream: TcpStream,
    proxy: &Intercept,
    host: &str,
    port: u16,
) -> Result<impl Duplex + use<>, LineError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let place = format!("{host}:{port}");
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&place)
        .header(http::header::HOST, &place);
    if let Some(authorization) = proxy.basic_auth() {
        request = request.header(http::header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.map_err(|_| LineError::Name)?);
    let answer = answer.await?;
    if !answer.status().is_success() {
        return Err(LineError::Proxy(answer.status()));
    }
    Ok(TokioIo::new(hyper::upgrade::on(answer).await?))
}

/// The port that a URL means.
fn port_of(authority: &Authority, encrypted: bool) -> u16 {
    let default = if encrypted { 443 } else { 80 };
    authority.port_u16().unwrap_or(default)
}

/// Whether a host is this machine by its name. The answer of a resolver does not count.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether an address is one of the internet.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            // 2000::/3 is what is given out of all; within it, 6to4 and Teredo lead to IPv4.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && ip.segments()[..2] != [0x2001, 0]
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let tests = a == 198 && (18..20).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || tests
        || a == 0
        || a >= 224
        || (a, b) == (192, 0))
}

/// Where systems keep the authorities that they trust; the first that is there counts.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn roots(extra: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<CertificateDer<'static>>, _>>()
    };
    if let Some(system) = SYSTEM.map(Path::new).iter().find(|path| path.is_file()) {
        roots.add_parsable_certificates(certificates(system).unwrap_or_default());
    }
    for path in extra {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| TrustError::Certificates {
            path: path.clone(),
            source,
        };
        let found = certificates(path).map_err(|error| wrong(error.into()))?;
        if found.is_empty() {
            return Err(wrong("it holds none".into()));
        }
        for certificate in found {
            roots
                .add(certificate)
                .map_err(|error| wrong(error.into()))?;
        }
    }
    Ok(roots)
}

/// What the error of a handshake means.
fn why(error: io::Error) -> LineError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(found @ rustls::Error::InvalidCertificate(_)) => LineError::Untrusted(found.clone()),
        _ => LineError::NotTls(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn loopback_is_by_name_or_address() {
        for own in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["localhost.example", "127.0.0.1.example", "10.0.0.1", "x"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
