//! Registries of images.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

/// Whether it could be a host, with or without a port.
fn is_host(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 260 && text.bytes().all(byte)
}

/// Whether it is `registry=mirror`, the mirror perhaps with a path.
fn is_mirror(text: &str) -> bool {
    let Some((registry, mirror)) = text.split_once('=') else {
        return false;
    };
    let (host, path) = mirror.split_once('/').unwrap_or((mirror, ""));
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    is_host(registry) && is_host(host) && !path.contains("..") && path.bytes().all(byte)
}

section! {
    /// Registries that images come from.
    "registry" Registry {
        /// Mirrors, each as `registry=mirror`, such as `docker.io=mirror.example.com:5000`; a mirror may have a
        /// path. Those of a registry are asked in this order, the registry itself last.
        mirrors: Vec<String> = |_| Vec::new(), Accept::such(
            "at most 64 texts such as docker.io=mirror.example.com:5000",
            |list: &Vec<String>| list.len() <= 64 && list.iter().all(|text| is_mirror(text)),
        );
        /// Hosts, with their ports if those are not TLS's own, that may speak plain HTTP, and may be asked in the
        /// name of clients although their addresses are private. The machine's own loopback may speak it always.
        insecure: Vec<String> = |_| Vec::new(), Accept::such(
            "at most 64 hosts such as registry.lan:5000",
            |list: &Vec<String>| list.len() <= 64 && list.iter().all(|text| is_host(text)),
        );
        /// Files with CA certificates (PEM) that are trusted for registries beside those of the system.
        ca_certificates: Vec<PathBuf> = |_| Vec::new(), Accept::such(
            "at most 64 paths",
            |list: &Vec<PathBuf>| list.len() <= 64,
        );
        /// The file with users and passwords, or with the names of the helpers that know them, in the form of
        /// `docker login`.
        auth_file: PathBuf = |host| host.docker_config(), Accept::any();
        /// How many layers of an image are downloaded and unpacked at once.
        downloads: u32 = |_| 3, Accept::between(1, 64);
        /// How long a connection may take to come about.
        connect_timeout: Duration = |_| Duration::from_secs(10), Accept::between(Duration::from_millis(10), Duration::from_secs(600));
        /// How long an answer or a download may stand still.
        stall_timeout: Duration = |_| Duration::from_secs(30), Accept::between(Duration::from_millis(10), Duration::from_secs(3600));
        /// How often a request is tried that fails for a reason that may pass; a download begins to count again
        /// when it gets on.
        attempts: u32 = |_| 5, Accept::between(1, 100);
        /// The most bytes of an image's files.
        image_size: ByteSize = |_| ByteSize::gib(64), Accept::between(ByteSize::mib(1), ByteSize::gib(64 * 1024));
        /// How much is kept of downloads that broke, so that the next one goes on where they ended.
        parts: ByteSize = |_| ByteSize::gib(4), Accept::between(ByteSize(0), ByteSize::gib(64 * 1024));
        /// When all layers together take more room than this, those that no template lies on go, the ones that
        /// were not used for longest first.
        layers: ByteSize = |_| ByteSize::gib(64), Accept::between(ByteSize(0), ByteSize::gib(64 * 1024));
    }
}
