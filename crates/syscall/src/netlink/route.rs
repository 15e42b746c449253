//! Links, addresses, routes and neighbours as requests (rtnetlink(7)).

use super::message::{Batch, attributes, text, u32_at};
use rustix::fd::{AsRawFd, BorrowedFd};
use std::net::Ipv4Addr;

/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;
/// `IFLA_INET_CONF` of `linux/if_link.h`.
const IFLA_INET_CONF: u16 = 1;
/// `IFLA_INET6_ADDR_GEN_MODE` of `linux/if_link.h`.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE` of `linux/if_link.h`.
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
/// `NDA_DST` of `linux/neighbour.h`.
const NDA_DST: u16 = 1;
/// `NDA_LLADDR` of `linux/neighbour.h`.
const NDA_LLADDR: u16 = 2;
/// The index of the loopback link of every network namespace.
pub const LOOPBACK: i32 = 1;

/// A hardware address of a link.
pub type Hardware = [u8; 6];

/// One end of a veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its index, chosen by us so that it is known before Linux answers.
    pub index: i32,
    /// Its hardware address.
    pub hardware: Hardware,
    /// Whether it is up from the beginning.
    pub up: bool,
}

/// `struct ifinfomsg`: the link `index` with the bits of `change` set as in `flags`.
pub fn link_head(index: i32, flags: i32, change: i32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

impl Batch {
    /// Asks to switch a link on.
    pub fn link_up(&mut self, asked: &'static str, index: i32) {
        self.add(
            asked,
            libc::RTM_NEWLINK,
            0,
            &link_head(index, libc::IFF_UP, libc::IFF_UP),
        );
    }

    /// Asks what a link is like; see [`link`].
    pub fn link(&mut self, asked: &'static str, index: i32) {
        self.add(asked, libc::RTM_GETLINK, 0, &link_head(index, 0, 0));
    }

    /// Asks to remove a link by its name.
    pub fn link_remove(&mut self, asked: &'static str, name: &str) {
        self.add(asked, libc::RTM_DELLINK, 0, &link_head(0, 0, 0))
            .attribute(libc::IFLA_IFNAME, &terminated(name));
    }

    /// Asks for a veth pair: `here` in the socket's namespace, `there` in the namespace behind
    /// `namespace`, with one queue each (Linux would make one per CPU).
    pub fn veth(
        &mut self,
        asked: &'static str,
        here: &End<'_>,
        there: &End<'_>,
        namespace: BorrowedFd<'_>,
    ) {
        let one = 1u32.to_ne_bytes();
        let mut request = self.add(
            asked,
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &end_head(here),
        );
        request
            .attribute(libc::IFLA_IFNAME, &terminated(here.name))
            .attribute(libc::IFLA_ADDRESS, &here.hardware)
            .attribute(libc::IFLA_NUM_TX_QUEUES, &one)
            .attribute(libc::IFLA_NUM_RX_QUEUES, &one)
            .nested(libc::IFLA_LINKINFO, |info| {
                info.attribute(libc::IFLA_INFO_KIND, b"veth").nested(
                    libc::IFLA_INFO_DATA,
                    |data| {
                        data.nested(VETH_INFO_PEER, |peer| {
                            peer.raw(&end_head(there));
                            peer.attribute(libc::IFLA_IFNAME, &terminated(there.name))
                                .attribute(libc::IFLA_ADDRESS, &there.hardware)
                                .attribute(libc::IFLA_NUM_TX_QUEUES, &one)
                                .attribute(libc::IFLA_NUM_RX_QUEUES, &one)
                                .attribute(
                                    libc::IFLA_NET_NS_FD,
                                    &namespace.as_raw_fd().to_ne_bytes(),
                                );
                        });
                    },
                );
            });
    }

    /// Asks to set a link's IPv4 switches: pairs of number (`IPV4_DEVCONF_*` of `linux/ip.h`)
    /// and value.
    pub fn link_ipv4(&mut self, asked: &'static str, index: i32, switches: &[(u16, u32)]) {
        let family = u16::try_from(libc::AF_INET).unwrap_or_default();
        self.add(asked, libc::RTM_SETLINK, 0, &link_head(index, 0, 0))
            .nested(libc::IFLA_AF_SPEC, |spec| {
                spec.nested(family, |ipv4| {
                    ipv4.nested(IFLA_INET_CONF, |list| {
                        for (number, value) in switches {
                            list.attribute(*number, &value.to_ne_bytes());
                        }
                    });
                });
            });
    }

    /// Asks that a link gets no IPv6 address by itself.
    pub fn link_without_ipv6_address(&mut self, asked: &'static str, index: i32) {
        let family = u16::try_from(libc::AF_INET6).unwrap_or_default();
        self.add(asked, libc::RTM_SETLINK, 0, &link_head(index, 0, 0))
            .nested(libc::IFLA_AF_SPEC, |spec| {
                spec.nested(family, |ipv6| {
                    ipv6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
                });
            });
    }

    /// Asks to give a link an address of a range of two (RFC 3021).
    pub fn address(&mut self, asked: &'static str, index: i32, address: Ipv4Addr) {
        let mut head = [0; 8];
        head[0] = family();
        head[1] = 31;
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        self.add(
            asked,
            libc::RTM_NEWADDR,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &head,
        )
        .attribute(libc::IFA_LOCAL, &address.octets())
        .attribute(libc::IFA_ADDRESS, &address.octets());
    }

    /// Asks for the default route.
    pub fn default_route(&mut self, asked: &'static str, index: i32, gateway: Ipv4Addr) {
        let mut head = [0; 12];
        head[0] = family();
        head[4] = libc::RT_TABLE_MAIN;
        head[5] = libc::RTPROT_BOOT;
        head[6] = libc::RT_SCOPE_UNIVERSE;
        head[7] = libc::RTN_UNICAST;
        self.add(
            asked,
            libc::RTM_NEWROUTE,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &head,
        )
        .attribute(libc::RTA_GATEWAY, &gateway.octets())
        .attribute(libc::RTA_OIF, &index.to_ne_bytes());
    }

    /// Asks for a neighbour that never has to be looked for and never expires.
    pub fn neighbour(
        &mut self,
        asked: &'static str,
        index: i32,
        address: Ipv4Addr,
        hardware: Hardware,
    ) {
        let mut head = [0; 12];
        head[0] = family();
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        head[8..10].copy_from_slice(&libc::NUD_PERMANENT.to_ne_bytes());
        self.add(
            asked,
            libc::RTM_NEWNEIGH,
            libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            &head,
        )
        .attribute(NDA_DST, &address.octets())
        .attribute(NDA_LLADDR, &hardware);
    }
}

/// The question for all links, for [`super::Socket::list`].
pub fn list_links() -> Batch {
    let mut batch = Batch::default();
    batch.add(
        "list links",
        libc::RTM_GETLINK,
        libc::NLM_F_DUMP,
        &link_head(0, 0, 0),
    );
    batch
}

/// A link of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is made of: `veth`, `bridge`, …; nothing for hardware and loopback.
    pub kind: Option<String>,
    /// Whether it carries packets (`IFF_RUNNING`).
    pub running: bool,
}

/// A link in the answer to [`list_links`] or [`Batch::link`].
pub fn link(kind: u16, payload: &[u8]) -> Option<Link> {
    if kind != libc::RTM_NEWLINK {
        return None;
    }
    let index = u32_at(payload, 4)?;
    let (mut name, mut made_of) = (None, None);
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => name = text(value).map(str::to_owned),
            libc::IFLA_LINKINFO => {
                made_of = attributes(value)
                    .find(|(kind, _)| *kind == libc::IFLA_INFO_KIND)
                    .and_then(|(_, value)| text(value))
                    .map(str::to_owned);
            }
            _ => {}
        }
    }
    let running = u32_at(payload, 8)? & libc::IFF_RUNNING.cast_unsigned() != 0;
    Some(Link {
        running,
        index,
        name: name?,
        kind: made_of,
    })
}

fn end_head(end: &End<'_>) -> [u8; 16] {
    let flags = if end.up { libc::IFF_UP } else { 0 };
    link_head(end.index, flags, flags)
}

fn family() -> u8 {
    u8::try_from(libc::AF_INET).unwrap_or_default()
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}
