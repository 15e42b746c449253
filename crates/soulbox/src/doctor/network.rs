//! What `--network internet` needs.

use super::{Check, Machine};
use soulbox_settings::{Settings, Subnet};
use std::net::Ipv4Addr;

const WHY: &str = "sandboxes with --network internet need it";

pub(super) fn checks(machine: &Machine, settings: &Settings) -> Vec<Check> {
    vec![
        links(machine),
        firewall(machine),
        forwarding(machine),
        subnet(machine, settings),
    ]
}

fn links(machine: &Machine) -> Check {
    const NAME: &str = "veth";
    // Built-in drivers without parameters show up nowhere; where there are no modules at all,
    // everything that Linux has is built in.
    if machine.has_module("veth") || !machine.has("/lib/modules") {
        return Check::found(NAME, WHY, "there");
    }
    Check::wanting(NAME, WHY, "not seen", "modprobe veth")
}

fn firewall(machine: &Machine) -> Check {
    const NAME: &str = "nft";
    const REASON: &str =
        "the block list and the address translation of --network internet are nftables'";
    let Some(path) = machine.program("nft") else {
        return Check::wanting(NAME, REASON, "not found", "apt-get install nftables");
    };
    if machine.has_module("nf_tables") || !machine.has("/lib/modules") {
        return Check::found(NAME, REASON, path.display().to_string());
    }
    Check::wanting(NAME, REASON, "Linux has no nf_tables", "modprobe nf_tables")
}

fn forwarding(machine: &Machine) -> Check {
    const NAME: &str = "forwarding";
    const REASON: &str = "SoulBox switches forwarding on for its own links when they are made; \
                          other links stay as they are";
    match machine
        .text("/proc/sys/net/ipv4/ip_forward")
        .as_deref()
        .map(str::trim)
    {
        Some(value) => Check::found(NAME, REASON, format!("net.ipv4.ip_forward is {value}")),
        None => Check::wanting(NAME, REASON, "unknown", "mount /proc"),
    }
}

fn subnet(machine: &Machine, settings: &Settings) -> Check {
    const NAME: &str = "subnet";
    const REASON: &str =
        "the addresses of sandboxes must not be those of a network the machine reaches";
    let ours = settings.network.subnet;
    let text = machine.text("/proc/net/route").unwrap_or_default();
    // Our own links are routes inside of the range, each to one sandbox.
    let taken = text.lines().filter_map(route).find(|(link, route)| {
        !link.starts_with("sbx") && route.prefix > 0 && route.overlaps(&ours)
    });
    match taken {
        None => Check::found(NAME, REASON, ours.to_string()),
        Some((link, route)) => Check::wanting(
            NAME,
            REASON,
            format!("{ours} overlaps {route} on {link}"),
            "choose another range: setting network.subnet, such as SOULBOX_NETWORK_SUBNET=10.87.0.0/16",
        ),
    }
}

/// The link and range of a line of `/proc/net/route`. Its numbers are the bytes of the address in
/// order, read as one number of this machine.
fn route(line: &str) -> Option<(String, Subnet)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let bytes = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes);
    let address = Ipv4Addr::from(bytes(words.get(1)?)?);
    let mask = Ipv4Addr::from(bytes(words.get(7)?)?);
    let prefix = u8::try_from(mask.to_bits().leading_ones()).ok()?;
    Some(((*words.first()?).to_owned(), Subnet::v4(address, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    const HEAD: &str =
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    fn machine(routes: &str) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/net")).unwrap();
        std::fs::write(
            root.path().join("proc/net/route"),
            format!("{HEAD}{routes}"),
        )
        .unwrap();
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn routes_are_read() {
        let line = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let (link, range) = route(line).unwrap();
        assert_eq!(
            (link.as_str(), range.to_string().as_str()),
            ("eth0", "192.0.2.0/24")
        );
        assert_eq!(route(HEAD), None);
        assert_eq!(route("eth0 zz"), None);
    }

    #[test]
    fn a_taken_range_is_told_with_its_link() {
        let settings = Settings::with(&[]).unwrap();
        let free = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let (_root, open) = machine(free);
        assert_eq!(subnet(&open, &settings).finding, Finding::Found);
        // 198.18.7.0/24
        let vpn = "tun0\t000712C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let (_root, taken) = machine(vpn);
        let check = subnet(&taken, &settings);
        assert_eq!(check.finding, Finding::Wanting);
        assert!(
            check.seen.contains("198.18.7.0/24 on tun0"),
            "{}",
            check.seen
        );
    }
}
