//! The same over TLS, as clients reach sandboxes by the host names that E2B's SDKs make.

use crate::server::Server;
use crate::{http, socket};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connects to the server under another name, without asking anybody what that name means.
async fn connect(
    server: &Server,
    host: &str,
    protocol: &[u8],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(server.authority()).unwrap();
    roots.add(authority).unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let (_, port) = server.domain.split_once(':').expect("a port");
    let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap()))
        .await
        .unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    connected.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_sandboxs_own_name_leads_to_its_port() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    assert_eq!(
        sandbox.told["domain"],
        json!(server.domain),
        "clients are told the port, too"
    );
    let host = format!("{}-{}.{}", sandbox.port, sandbox.id(), server.domain);
    let name = host.split(':').next().unwrap();
    let mut stream = connect(&server, name, b"http/1.1").await.unwrap();
    let seen = http::get(&mut stream, "/seen", &host, "").await.json();
    assert_eq!(seen["headers"]["x-forwarded-proto"], json!(["https"]));
    assert_eq!(seen["headers"]["host"], json!([host]));
    let health = format!("49983-{}.{}", sandbox.id(), server.domain);
    assert_eq!(
        http::get(&mut stream, "/health", &health, "").await.status,
        204
    );
    socket::open(&mut stream, &host, "").await;
    socket::echo(&mut stream).await;
}

#[tokio::test]
async fn certificates_are_for_the_domain_alone() {
    let server = Server::start();
    assert!(
        connect(&server, "sandbox.localhost", b"http/1.1")
            .await
            .is_ok()
    );
    assert!(
        connect(&server, "api.sandbox.localhost", b"h2")
            .await
            .is_ok()
    );
    for other in [
        "example.com",
        "a.b.sandbox.localhost",
        "localhost",
        "127.0.0.1",
    ] {
        let refused = connect(&server, other, b"http/1.1").await;
        assert!(
            refused.is_err_and(|error| error.contains("not valid for name")),
            "{other}"
        );
    }
    let offered = connect(&server, "sandbox.localhost", b"spdy/1").await;
    assert!(offered.is_err(), "no protocol in common");
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // curl speaks HTTP/2 as clients do
async fn http2_reaches_a_port_too() {
    let server = Server::start();
    let sandbox = server.sandbox(json!({})).await;
    let host = format!("{}-{}.{}", sandbox.port, sandbox.id(), server.domain);
    let (name, port) = host.split_once(':').unwrap();
    let asked = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--http2",
            "--max-time",
            "30",
            "--write-out",
            " proto=%{http_version}",
        ])
        .arg("--cacert")
        .arg(server.authority())
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args([
            "--data",
            "a=b",
            &format!("https://{host}/seen"),
            &format!("https://{host}/count"),
        ])
        .output()
        .expect("curl starts");
    let text = String::from_utf8_lossy(&asked.stdout);
    let error = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success(), "{text} {error}");
    assert_eq!(text.matches(" proto=2").count(), 2, "{text}");
    assert!(text.contains(&format!("\"host\": [\"{host}\"]")), "{text}");
}

#[tokio::test]
async fn how_to_trust_it_is_told() {
    let server = Server::start();
    let told = server.soulbox().run(["ca", "trust"]).expect_code(0).text();
    for needed in [
        "SSL_CERT_FILE=",
        "NODE_EXTRA_CA_CERTS=",
        "update-ca-certificates",
        "update-ca-trust",
    ] {
        assert!(told.contains(needed), "{told}");
    }
    let path = server.authority();
    assert!(told.contains(path.to_str().unwrap()), "{told}");
}

#[test]
fn without_an_authority_that_is_told() {
    let soulbox = soulbox_tests::Soulbox::new();
    soulbox
        .run(["ca", "path"])
        .expect_code(241)
        .expect_stderr(&["--tls-listen"]);
}
