//! The network of sandboxes.

use crate::subnet::Subnet;
use crate::value::Accept;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

section! {
    /// The network of sandboxes that reach the internet.
    "network" Network {
        /// The range that sandboxes get their addresses from, two for each. It must not overlap a
        /// network that the machine or the sandboxes need: the default is a part of the range that
        /// is set aside for tests of networks (RFC 2544), which networks in use leave alone.
        subnet: Subnet = |_| Subnet::v4(Ipv4Addr::new(198, 18, 0, 0), 16), Accept::such(
            "an IPv4 range with a prefix of 8 to 19",
            |subnet: &Subnet| subnet.address.is_ipv4() && (8..=19).contains(&subnet.prefix),
        );
        /// The name servers that questions are passed on to; none: those of the host's
        /// `/etc/resolv.conf`.
        resolvers: Vec<IpAddr> = |_| Vec::new(), Accept::such(
            "at most 3 addresses",
            |list: &Vec<IpAddr>| list.len() <= 3,
        );
        /// Ranges that sandboxes may reach although the fixed block list holds them, such as a
        /// package mirror on a private address.
        allow: Vec<Subnet> = |_| Vec::new(), Accept::such(
            "at most 256 ranges",
            |list: &Vec<Subnet>| list.len() <= 256,
        );
        /// Files with CA certificates (PEM) that sandboxes trust beside those of their template.
        extra_ca_certificates: Vec<PathBuf> = |_| Vec::new(), Accept::such(
            "at most 64 paths",
            |list: &Vec<PathBuf>| list.len() <= 64,
        );
    }
}
