//! What an operator says about registries, ready for use.

use soulbox_model::ByteSize;
use soulbox_settings::{Proxies, Registry as Section};
use std::path::PathBuf;
use std::time::Duration;

/// A mirror of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry that it mirrors.
    pub registry: String,
    /// Its host, perhaps with a port.
    pub host: String,
    /// What its repositories' names begin with, without a slash at either end; often empty.
    pub prefix: String,
}

/// How registries are used.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Mirrors, in the order in which they are asked.
    pub mirrors: Vec<Mirror>,
    /// Hosts that may speak plain HTTP and have private addresses.
    pub insecure: Vec<String>,
    /// Files with further certificate authorities.
    pub ca_certificates: Vec<PathBuf>,
    /// The file of `docker login`; an empty path: none.
    pub auth_file: PathBuf,
    /// Proxies of the environment.
    pub proxies: Proxies,
    /// Layers at once.
    pub downloads: usize,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer or a download may stand still.
    pub stall_timeout: Duration,
    /// How often something is tried that fails for a reason that may pass.
    pub attempts: u32,
    /// The most bytes of an image's files.
    pub image_size: ByteSize,
    /// How much of broken downloads is kept.
    pub parts: ByteSize,
    /// How much room all layers may take before those go that no template lies on.
    pub layers: ByteSize,
    /// Whether hosts with addresses that are none of the internet's are refused, unless an operator
    /// named them: for what clients ask a server to fetch, who must not reach its network so.
    pub public_only: bool,
}

impl RegistryOptions {
    /// What the settings say, for an operator's own pulls.
    pub fn new(section: &Section, proxies: &Proxies) -> Self {
        let mirrors = section.mirrors.iter().filter_map(|text| {
            let (registry, mirror) = text.split_once('=')?;
            let (host, prefix) = mirror.split_once('/').unwrap_or((mirror, ""));
            Some(Mirror {
                registry: registry.to_ascii_lowercase(),
                host: host.to_ascii_lowercase(),
                prefix: prefix.trim_matches('/').to_owned(),
            })
        });
        let small = |host: &String| host.to_ascii_lowercase();
        Self {
            mirrors: mirrors.collect(),
            insecure: section.insecure.iter().map(small).collect(),
            ca_certificates: section.ca_certificates.clone(),
            auth_file: section.auth_file.clone(),
            proxies: proxies.clone(),
            downloads: usize::try_from(section.downloads).unwrap_or(1),
            connect_timeout: section.connect_timeout,
            stall_timeout: section.stall_timeout,
            attempts: section.attempts,
            image_size: section.image_size,
            parts: section.parts,
            layers: section.layers,
            public_only: false,
        }
    }

    /// The same for what clients of a server ask for: neither do they reach the operator's
    /// networks, nor are they given the operator's passwords.
    #[must_use]
    pub fn for_clients(self) -> Self {
        Self {
            public_only: true,
            auth_file: PathBuf::new(),
            ..self
        }
    }

    /// The hosts that an operator named.
    pub(super) fn named_hosts(&self) -> Vec<String> {
        let mirrors = self.mirrors.iter().map(|mirror| mirror.host.clone());
        self.insecure.iter().cloned().chain(mirrors).collect()
    }
}
