//! Who gets which address: two for each slot, in a range of the operator's choice.

use soulbox_settings::Subnet;
use std::net::{IpAddr, Ipv4Addr};

/// The highest slot that has addresses.
pub const LAST_SLOT: u32 = 4095;

/// The longest prefix whose range holds two addresses for each slot from 0 to [`LAST_SLOT`].
pub const LONGEST_PREFIX: u8 = 19;

/// A range or a slot that gives no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not IPv4, or too small.
    #[error(
        "network.subnet {0} must be an IPv4 range with a prefix of at most {LONGEST_PREFIX}: \
         each sandbox needs two addresses"
    )]
    Range(Subnet),
    /// No such slot.
    #[error("slot {0} has no addresses: slots go from 1 to {LAST_SLOT}")]
    Slot(u32),
}

/// The range that sandboxes get their addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxRange {
    first: Ipv4Addr,
    prefix: u8,
}

/// The two ends of a sandbox's veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The slot that they belong to.
    pub slot: u32,
    /// The host's end: the sandbox's way out.
    pub host: Ipv4Addr,
    /// The sandbox's end.
    pub sandbox: Ipv4Addr,
}

impl SandboxRange {
    /// Checks the range of the setting `network.subnet`.
    ///
    /// # Errors
    /// [`AddressError::Range`] when it is not IPv4 or too small.
    pub fn new(subnet: Subnet) -> Result<Self, AddressError> {
        match subnet.address {
            IpAddr::V4(first) if subnet.prefix <= LONGEST_PREFIX => Ok(Self {
                first,
                prefix: subnet.prefix,
            }),
            _ => Err(AddressError::Range(subnet)),
        }
    }

    /// The addresses of a slot: a range of two (RFC 3021), so that no address is lost to
    /// network and broadcast.
    ///
    /// # Errors
    /// [`AddressError::Slot`] when the slot is not between 1 and [`LAST_SLOT`].
    pub fn ends(&self, slot: u32) -> Result<Ends, AddressError> {
        if !(1..=LAST_SLOT).contains(&slot) {
            return Err(AddressError::Slot(slot));
        }
        let host = self.first.to_bits() + 2 * slot;
        let [host, sandbox] = [host, host + 1].map(Ipv4Addr::from_bits);
        Ok(Ends {
            slot,
            host,
            sandbox,
        })
    }

    /// The whole range.
    pub fn subnet(&self) -> Subnet {
        Subnet::v4(self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<SandboxRange, AddressError> {
        SandboxRange::new(text.parse().unwrap())
    }

    #[test]
    fn every_slot_has_two_addresses_of_its_own_inside_the_range() {
        for text in ["198.18.0.0/15", "198.18.0.0/19", "10.213.0.0/16"] {
            let range = range(text).unwrap();
            let mut seen = std::collections::HashSet::new();
            for slot in 1..=LAST_SLOT {
                let ends = range.ends(slot).unwrap();
                for address in [ends.host, ends.sandbox] {
                    assert!(range.subnet().contains(address.into()), "{text} {address}");
                    assert!(seen.insert(address), "{address} twice");
                }
                assert_eq!(ends.host.to_bits() ^ 1, ends.sandbox.to_bits(), "one /31");
            }
        }
    }

    #[test]
    fn ranges_that_are_too_small_or_not_ipv4_are_refused() {
        for bad in ["198.18.0.0/20", "10.0.0.1", "fd00::/8"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        let range = range("198.18.0.0/15").unwrap();
        assert_eq!(range.ends(0), Err(AddressError::Slot(0)));
        assert_eq!(range.ends(4096), Err(AddressError::Slot(4096)));
    }
}
