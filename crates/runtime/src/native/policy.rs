//! The security policy as tables, made from `policy/*.toml` when the crate is built.
//!
//! Each entry has its reason. The build fails when one lacks it, stands twice or out of order.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A group of system calls and what the filter answers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRule {
    /// The calls by name.
    pub calls: &'static [&'static str],
    /// The answer in words: `allow`, `check, else <error>`, an error, or `succeeds, not done`.
    pub answer: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// A capability, and whether root in a sandbox has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapabilityRule {
    /// Linux's name without `CAP_`.
    pub name: &'static str,
    /// Linux's number.
    pub number: u8,
    /// Whether root in a sandbox has it.
    pub keep: bool,
    /// Why.
    pub reason: &'static str,
}

/// A path of `/proc` that a sandbox does not see as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskRule {
    /// The absolute path in the sandbox, without links or dots.
    pub path: &'static str,
    /// What is done to it.
    pub kind: MaskKind,
    /// Whether a sandbox may not be made without it. Others are skipped where Linux lacks the path.
    pub required: bool,
    /// Why.
    pub reason: &'static str,
}

/// What is done to a path of `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskKind {
    /// `/dev/null` is put over the file.
    HideFile,
    /// An empty read-only directory is put over it.
    HideDirectory,
    /// It is put over itself, read-only.
    ReadOnly,
}

/// A character device of `/dev`, mode 0666.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Its name in `/dev`.
    pub name: &'static str,
    /// The driver's number.
    pub major: u32,
    /// The device's number.
    pub minor: u32,
    /// Why.
    pub reason: &'static str,
}

/// A symbolic link of `/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRule {
    /// Its name in `/dev`.
    pub name: &'static str,
    /// Where it leads.
    pub target: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Addresses that a sandbox cannot reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkRule<A> {
    /// The first address.
    pub address: A,
    /// How many leading bits count.
    pub prefix: u8,
    /// Why.
    pub reason: &'static str,
}

/// A destination port that a sandbox cannot reach at any address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRule {
    /// Of which protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Why.
    pub reason: &'static str,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, number 6.
    Tcp,
    /// UDP, number 17.
    Udp,
}

include!(concat!(env!("OUT_DIR"), "/policy.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn ascends<K: PartialOrd>(keys: impl Iterator<Item = K>) -> bool {
        keys.is_sorted_by(|a, b| a < b)
    }

    #[test]
    fn every_entry_has_a_reason_and_stands_once() {
        let reasons = SYSTEM_CALLS
            .iter()
            .map(|rule| rule.reason)
            .chain(CAPABILITIES.iter().map(|rule| rule.reason))
            .chain(MASKED.iter().map(|rule| rule.reason))
            .chain(DEVICES.iter().map(|rule| rule.reason))
            .chain(DEVICE_LINKS.iter().map(|rule| rule.reason))
            .chain(EGRESS_V4.iter().map(|rule| rule.reason))
            .chain(EGRESS_V6.iter().map(|rule| rule.reason))
            .chain(EGRESS_PORTS.iter().map(|rule| rule.reason));
        assert!(reasons.clone().count() > 100);
        for reason in reasons {
            assert!(
                reason.trim().len() > 5 && reason.ends_with('.'),
                "{reason:?}"
            );
        }
        assert!(ascends(CAPABILITIES.iter().map(|rule| rule.number)));
        assert!(ascends(MASKED.iter().map(|rule| rule.path)));
        assert!(ascends(DEVICES.iter().map(|rule| rule.name)));
        assert!(ascends(DEVICE_LINKS.iter().map(|rule| rule.name)));
        assert!(ascends(EGRESS_V4.iter().map(|rule| rule.address)));
        assert!(ascends(EGRESS_V6.iter().map(|rule| rule.address)));
        assert!(ascends(EGRESS_PORTS.iter().map(|rule| rule.port)));
    }

    #[test]
    fn the_capabilities_kept_are_the_short_list() {
        let kept: Vec<_> = CAPABILITIES
            .iter()
            .filter(|rule| rule.keep)
            .map(|rule| rule.name)
            .collect();
        assert_eq!(
            kept,
            [
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "FSETID",
                "KILL",
                "SETGID",
                "SETUID",
                "SETPCAP",
                "NET_BIND_SERVICE",
                "SYS_CHROOT",
                "AUDIT_WRITE",
                "SETFCAP",
            ]
        );
    }

    /// Whether the policy blocks `address`.
    fn blocked(address: &str) -> bool {
        match address.parse().expect("the tests write addresses") {
            IpAddr::V4(address) => EGRESS_V4.iter().any(|rule| {
                let rest = 32 - u32::from(rule.prefix);
                (address.to_bits() ^ rule.address.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }),
            IpAddr::V6(address) => EGRESS_V6.iter().any(|rule| {
                let rest = 128 - u32::from(rule.prefix);
                (address.to_bits() ^ rule.address.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }),
        }
    }

    #[test]
    fn the_block_list_holds_private_and_metadata_addresses_and_no_public_ones() {
        for address in [
            "0.0.0.0",
            "10.255.255.255",
            "100.100.100.200",
            "127.0.0.53",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(blocked(address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.15",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.2.1",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.100.1",
            "203.0.113.5",
            "223.255.255.255",
            "2001:db8::1",
            "2606:4700::1111",
        ] {
            assert!(!blocked(address), "{address}");
        }
    }
}
