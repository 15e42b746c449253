//! The network of a slot, as the builder takes and gives it back.

use super::network::address::{Ends, SandboxRange};
use super::network::namespace::{self, Host, ResolverSockets};
use super::step::{Step, StepError};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use soulbox_settings::Subnet;
use soulbox_wire::spawner::Network;

/// What networks of slots are made from.
pub(super) struct Plan {
    host: Host,
    range: SandboxRange,
}

/// A slot's network as it was made.
pub(super) struct Made {
    /// The namespace.
    pub(super) namespace: OwnedFd,
    /// The resolver's sockets: UDP, then TCP; empty without internet.
    pub(super) resolver: Vec<OwnedFd>,
}

impl Plan {
    /// Takes the caller's network namespace as the host's.
    pub(super) fn new(subnet: &str) -> Result<Self, StepError> {
        let range = subnet
            .parse::<Subnet>()
            .ok()
            .and_then(|subnet| SandboxRange::new(subnet).ok())
            .ok_or(Errno::INVAL)
            .step(|| format!("take the addresses of sandboxes from {subnet:?}"))?;
        Ok(Self {
            host: Host::open()?,
            range,
        })
    }

    /// Makes the network of a slot. It needs no undo: namespace and link go by themselves, in the
    /// background, when the last descriptor of the namespace is closed. Removing a link by hand
    /// would make the spawner wait for 25 ms.
    ///
    /// `owner`: the host uid whose zygote's copies may enter it; none: nobody's.
    pub(super) fn create(
        &self,
        slot: u32,
        network: Network,
        owner: Option<u32>,
    ) -> Result<Made, StepError> {
        let ends = match network {
            Network::None => None,
            Network::Internet => Some(self.ends(slot)?),
        };
        let made = namespace::create(&self.host, ends.as_ref(), owner)?;
        let resolver = made
            .resolver
            .map_or_else(Vec::new, |ResolverSockets { udp, tcp }| vec![udp, tcp]);
        Ok(Made {
            namespace: made.namespace,
            resolver,
        })
    }

    fn ends(&self, slot: u32) -> Result<Ends, StepError> {
        self.range
            .ends(slot)
            .map_err(|_| Errno::INVAL)
            .step(|| format!("find the addresses of slot {slot}"))
    }
}
