//! The way to a registry: TLS, and proxies.

use crate::fake::Fake;
use crate::ground::Ground;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use soulbox_settings::Proxies;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A certificate for the loopback that vouches for itself, in PEM, and what takes connections by it.
fn certificate() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_to_whom_is_trusted() {
    let (pem, tls) = certificate();
    let mut ground = Ground::of(Fake::start_with(Some(tls)).await);
    ground.options.attempts = 1;
    let refused = ground.pull("1").await.map(|_| ()).unwrap_err();
    // Neither is plain HTTP tried with somebody who speaks TLS.
    assert!(
        refused.contains("its certificate is not trusted"),
        "{refused}"
    );
    assert_eq!(ground.fake.came("").len(), 0);
    let file = ground.directory.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    ground.options.ca_certificates = vec![file];
    let (held, _) = ground.pull("1").await.unwrap();
    ground.check(&held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_where_one_is_named() {
    let mut ground = Ground::new().await;
    // Nobody has this name: only the proxy can be asked for it.
    let name = "registry.test/x:1".parse().unwrap();
    ground.options.insecure = vec!["registry.test".to_owned()];
    ground.options.proxies = Proxies {
        all: format!("http://me:SECRET@{}", ground.fake.address),
        ..Proxies::default()
    };
    let (held, _) = ground.pull_as(&name, None).await.unwrap();
    ground.check(&held);
    let came = ground.fake.came("http://registry.test/v2/");
    assert_eq!(came.len(), 5);
    for came in came {
        let shown = came.headers.get("proxy-authorization");
        assert_eq!(shown.map(String::as_str), Some("Basic bWU6U0VDUkVU"));
    }
    // Hosts that are named are reached without it, and this one has no address.
    ground.options.attempts = 1;
    ground.options.proxies.none = "registry.test".to_owned();
    let refused = ground.pull_as(&name, None).await.map(|_| ()).unwrap_err();
    assert!(
        refused.contains("registry.test cannot be reached"),
        "{refused}"
    );
}
