//! The rules: text for `nft`, made from typed values only.

use super::FirewallError;
use super::forwarding::Before;
use super::program::NFT;
use crate::native::network::address::SandboxRange;
use crate::native::network::link::PREFIX;
use crate::native::policy::{self, Protocol};
use crate::native::step::StepError;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use soulbox_settings::Subnet;
use soulbox_syscall::netlink::Socket;
use soulbox_syscall::netlink::message::Batch;
use soulbox_syscall::netlink::netfilter;
use std::fmt::Write;

/// The table's name, in family `inet`.
pub const TABLE: &str = "soulbox";

/// Chains without which there is no wall; an empty one is none.
const CHAINS: [&str; 6] = [
    "before",
    "from_sandbox",
    "input",
    "forward",
    "outward",
    "inward",
];

/// Connections that one sandbox may have at once. Linux's table of connections is shared by the
/// whole host (`net.netfilter.nf_conntrack_max`, 65,536 on a machine of 4 GiB): one sandbox must
/// not fill it.
pub const CONNECTIONS: u32 = 4096;

/// What sandboxes may reach: the fixed policy and the operator's choice.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where sandboxes get their addresses from.
    pub range: SandboxRange,
    /// Addresses that nobody reaches. Only IPv4 counts: no IPv6 leaves a sandbox.
    pub refused: Vec<Subnet>,
    /// Ports that nobody reaches, wherever.
    pub refused_ports: Vec<(Protocol, u16)>,
    /// Addresses that are reached although `refused` has them. Never the host itself, another
    /// sandbox or a refused port.
    pub allow: Vec<Subnet>,
    /// Connections that one sandbox may have at once; [`CONNECTIONS`] unless there is a reason.
    pub connections: u32,
}

/// What the operator chose, and engines of one machine must agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The setting `network.subnet`.
    pub subnet: String,
    /// The setting `network.allow`, sorted.
    pub allow: Vec<String>,
}

impl Rules {
    /// The fixed policy (`policy/egress.toml`), with the operator's choice.
    pub fn of_policy(range: SandboxRange, allow: Vec<Subnet>) -> Self {
        let refused = policy::EGRESS_V4
            .iter()
            .map(|rule| Subnet::v4(rule.address, rule.prefix));
        let ports = policy::EGRESS_PORTS
            .iter()
            .map(|rule| (rule.protocol, rule.port));
        Self {
            range,
            refused: refused.collect(),
            refused_ports: ports.collect(),
            allow,
            connections: CONNECTIONS,
        }
    }

    pub(super) fn chosen(&self) -> Chosen {
        Chosen {
            subnet: self.range.subnet().to_string(),
            allow: ipv4(&self.allow),
        }
    }

    /// The whole table as text. The first two lines make the change atomic: Linux sees the old
    /// table or the new one, never none.
    ///
    /// `closed` are links whose packets are passed on to sandboxes only (as answers): those that
    /// were there when the host did not forward.
    pub fn text(&self, closed: &[String]) -> String {
        let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
        let _ = write!(text, "table inet {TABLE} {{\n{}", self.sets(closed));
        text.push_str(&self.chains(!closed.is_empty()));
        text.push_str("}\n");
        text
    }

    fn sets(&self, closed: &[String]) -> String {
        let mut text = set(
            "refused",
            "ipv4_addr",
            "flags interval; auto-merge;",
            &ipv4(&self.refused),
        );
        text += &set(
            "allowed",
            "ipv4_addr",
            "flags interval; auto-merge;",
            &ipv4(&self.allow),
        );
        for (name, protocol) in [
            ("refused_tcp", Protocol::Tcp),
            ("refused_udp", Protocol::Udp),
        ] {
            let ports = self.refused_ports.iter().filter(|(of, _)| *of == protocol);
            let ports: Vec<_> = ports.map(|(_, port)| port.to_string()).collect();
            text += &set(name, "inet_service", "", &ports);
        }
        let quoted: Vec<_> = closed.iter().map(|link| format!("\"{link}\"")).collect();
        text += &set("closed", "ifname", "", &quoted);
        text + &set("connections", "ipv4_addr", "size 8192; flags dynamic;", &[])
    }

    fn chains(&self, closed: bool) -> String {
        let range = self.range.subnet();
        let connections = self.connections;
        let closed = if closed {
            "# Who was not passed on before we came is not passed on now, unless an engine that \
             came\n    # later wants it and has rewritten its destination.\n    iifname @closed \
             ct state new ct status & dnat == 0 drop"
        } else {
            "# Forwarding was on before we came: the packets of others are not our business."
        };
        format!(
            r#"
  chain before {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{PREFIX}*" goto from_sandbox
  }}
  # No answer to any of these: what they claim about themselves is false, or nothing that a
  # sandbox can send by itself.
  chain from_sandbox {{
    meta nfproto != ipv4 drop
    ip saddr != {range} drop
    fib saddr . iif oif missing drop
    meta l4proto != {{ tcp, udp, icmp }} drop
  }}

  # The host itself, on every address that it has.
  chain input {{
    type filter hook input priority filter - 5; policy accept;
    iifname "{PREFIX}*" goto refuse
  }}

  chain forward {{
    type filter hook forward priority filter - 5; policy accept;
    iifname "{PREFIX}*" goto outward
    oifname "{PREFIX}*" goto inward
    {closed}
  }}
  chain outward {{
    # For every packet, not for the first of a connection only: one that was begun while
    # somebody had flushed the rules ends when they are back.
    oifname "{PREFIX}*" goto refuse
    # Somebody's rule has rewritten the destination: it was an address of the host (a published
    # port of a container, say).
    ct status & dnat != 0 goto refuse
    ip daddr {range} goto refuse
    ip daddr @refused ip daddr != @allowed goto refuse
    tcp dport @refused_tcp goto refuse
    udp dport @refused_udp goto refuse
    ct state established,related accept
    ct state != new drop
    fib daddr type != unicast goto refuse
    meta l4proto icmp icmp type != echo-request drop
    add @connections {{ ip saddr ct count over {connections} }} drop
    tcp flags & (fin|syn|rst) == syn tcp option maxseg size set rt mtu
    accept
  }}
  chain inward {{
    ct state established,related accept
    drop
  }}

  # An answer at once: a program that waits for a time-out wastes its own time limit.
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}

  chain after {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {range} oifname != "{PREFIX}*" masquerade
  }}
"#
        )
    }
}

/// The IPv4 ranges as texts, sorted.
fn ipv4(subnets: &[Subnet]) -> Vec<String> {
    let mut ranges: Vec<_> = subnets
        .iter()
        .filter(|subnet| subnet.address.is_ipv4())
        .collect();
    ranges.sort_by_key(|subnet| (subnet.address, subnet.prefix));
    ranges.dedup();
    ranges.iter().map(|subnet| subnet.to_string()).collect()
}

fn set(name: &str, kind: &str, flags: &str, elements: &[String]) -> String {
    let elements = match elements {
        [] => String::new(),
        list => format!("elements = {{ {} }};", list.join(", ")),
    };
    format!("  set {name} {{ type {kind}; {flags} {elements} }}\n")
}

pub(super) fn put_up(rules: &Rules, before: &Before) -> Result<(), FirewallError> {
    let closed = before
        .off
        .as_ref()
        .map(|off| off.links.as_slice())
        .unwrap_or_default();
    NFT.run(&["-f", "-"], &rules.text(closed))?;
    Ok(())
}

pub(super) fn take_down() -> Result<(), FirewallError> {
    NFT.run(
        &["-f", "-"],
        &format!("table inet {TABLE}\ndelete table inet {TABLE}\n"),
    )?;
    Ok(())
}

/// Whether the table is there with rules in it. Asked of Linux directly: it takes microseconds,
/// and `nft` milliseconds.
pub(super) fn are_up() -> Result<bool, StepError> {
    let asked = "look for the rules";
    let failed = |errno| StepError {
        step: asked.to_owned(),
        errno,
    };
    let socket = Socket::netfilter().map_err(failed)?;
    let mut batch = Batch::default();
    for chain in CHAINS {
        batch.inet_chain(asked, TABLE, chain);
    }
    let mut filled = 0;
    let answer = socket.ask(batch, |kind, payload| {
        filled += usize::from(netfilter::chain_use(kind, payload).is_some_and(|rules| rules > 0));
    });
    match answer {
        Ok(()) => Ok(filled == CHAINS.len()),
        Err(refused) if refused.errno == Errno::PERM => Err(failed(refused.errno)),
        // No such table or chain, or no nf_tables loaded yet.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            range: SandboxRange::new("198.18.0.0/15".parse().unwrap()).unwrap(),
            refused: ["192.168.0.0/16", "10.0.0.0/8", "fd00::/8"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            refused_ports: vec![(Protocol::Tcp, 25)],
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            connections: CONNECTIONS,
        }
    }

    #[test]
    fn sets_hold_ipv4_only_and_empty_ones_no_elements() {
        let text = rules().text(&[]);
        assert!(
            text.contains("elements = { 10.0.0.0/8, 192.168.0.0/16 };"),
            "{text}"
        );
        assert!(!text.contains("fd00"), "{text}");
        assert!(text.contains("set closed { type ifname;   }"), "{text}");
        assert!(!text.contains("iifname @closed"), "{text}");
    }

    #[test]
    fn ports_are_refused_for_their_protocol_only() {
        let text = rules().text(&[]);
        let line = |name: &str| {
            text.lines()
                .find(|line| line.contains(name))
                .map(str::to_owned)
        };
        assert!(
            line("set refused_tcp").is_some_and(|line| line.contains("{ 25 }")),
            "{text}"
        );
        assert!(
            line("set refused_udp").is_some_and(|line| !line.contains("25")),
            "{text}"
        );
    }

    #[test]
    fn the_fixed_policy_refuses_metadata_and_mail() {
        let range = SandboxRange::new("198.18.0.0/15".parse().unwrap()).unwrap();
        let rules = Rules::of_policy(range, Vec::new());
        let metadata = "169.254.169.254".parse().unwrap();
        assert!(rules.refused.iter().any(|subnet| subnet.contains(metadata)));
        assert!(rules.refused_ports.contains(&(Protocol::Tcp, 25)));
    }

    #[test]
    fn links_of_a_host_that_did_not_forward_stay_closed() {
        let text = rules().text(&["eth0".into(), "eth1".into()]);
        assert!(
            text.contains("elements = { \"eth0\", \"eth1\" };"),
            "{text}"
        );
        assert!(text.contains("iifname @closed"), "{text}");
    }

    #[test]
    fn what_the_operator_chose_does_not_depend_on_the_order() {
        let mut other = rules();
        other.allow = vec![
            "10.9.0.0/16".parse().unwrap(),
            "10.1.0.0/16".parse().unwrap(),
        ];
        let mut turned = other.clone();
        turned.allow.reverse();
        assert_eq!(other.chosen(), turned.chosen());
        assert_ne!(other.chosen(), rules().chosen());
    }
}
