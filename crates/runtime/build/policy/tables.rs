//! The policy files that become plain tables: capabilities, masks, devices, egress.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Write};
use std::net::IpAddr;

/// Reads a file's text and gives the Rust source of its tables.
type Table = fn(&str) -> Result<String, String>;

/// The files and what turns each into Rust.
pub(crate) const TABLES: [(&str, Table); 4] = [
    ("capabilities.toml", capabilities),
    ("devices.toml", devices),
    ("egress.toml", egress),
    ("masks.toml", masks),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    capability: Vec<Capability>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capability {
    name: String,
    number: u8,
    keep: bool,
    reason: String,
}

/// How many capabilities there are (Linux 5.9 to 7.0; include/uapi/linux/capability.h).
const CAPABILITIES: u8 = 41;

pub(crate) fn capabilities(text: &str) -> Result<String, String> {
    let Capabilities { capability: rows } = parse(text)?;
    if !rows.iter().map(|row| row.number).eq(0..CAPABILITIES) {
        return Err(format!(
            "the capabilities from 0 to {} are to stand once",
            CAPABILITIES - 1
        ));
    }
    ordered(rows.iter().map(|row| (row.number, &row.reason)))?;
    table(
        "CAPABILITIES",
        "CapabilityRule",
        "All capabilities, by number.",
        &rows,
        |row| {
            let Capability {
                name,
                number,
                keep,
                reason,
            } = row;
            format!("name: {name:?}, number: {number}, keep: {keep}, reason: {reason:?}")
        },
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Masks {
    mask: Vec<Mask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mask {
    path: String,
    kind: MaskKind,
    required: bool,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MaskKind {
    HideFile,
    HideDirectory,
    ReadOnly,
}

pub(crate) fn masks(text: &str) -> Result<String, String> {
    let Masks { mask: rows } = parse(text)?;
    ordered(rows.iter().map(|row| (&row.path, &row.reason)))?;
    let plain = |path: &str| {
        path.strip_prefix("/proc/")
            .is_some_and(|rest| rest.split('/').all(|part| !["", ".", ".."].contains(&part)))
    };
    if let Some(row) = rows.iter().find(|row| !plain(&row.path)) {
        return Err(format!("{:?} is not a plain path below /proc", row.path));
    }
    table(
        "MASKED",
        "MaskRule",
        "What of /proc is hidden or read-only, by path.",
        &rows,
        |row| {
            let Mask {
                path,
                kind,
                required,
                reason,
            } = row;
            format!(
                "path: {path:?}, kind: MaskKind::{kind:?}, required: {required}, reason: {reason:?}"
            )
        },
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Devices {
    device: Vec<Device>,
    link: Vec<Link>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    name: String,
    major: u32,
    minor: u32,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    name: String,
    target: String,
    reason: String,
}

pub(crate) fn devices(text: &str) -> Result<String, String> {
    let Devices { device, link } = parse(text)?;
    ordered(device.iter().map(|row| (&row.name, &row.reason)))?;
    ordered(link.iter().map(|row| (&row.name, &row.reason)))?;
    let mut names = device
        .iter()
        .map(|row| &row.name)
        .chain(link.iter().map(|row| &row.name));
    if let Some(name) = names.find(|name| name.is_empty() || name.contains(['/', '.'])) {
        return Err(format!("{name:?} is not the name of a file in /dev"));
    }
    let nodes = table(
        "DEVICES",
        "DeviceRule",
        "The nodes of /dev, by name.",
        &device,
        |row| {
            let Device {
                name,
                major,
                minor,
                reason,
            } = row;
            format!("name: {name:?}, major: {major}, minor: {minor}, reason: {reason:?}")
        },
    )?;
    let links = table(
        "DEVICE_LINKS",
        "LinkRule",
        "The links of /dev, by name.",
        &link,
        |row| {
            let Link {
                name,
                target,
                reason,
            } = row;
            format!("name: {name:?}, target: {target:?}, reason: {reason:?}")
        },
    )?;
    Ok(nodes + &links)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Egress {
    network: Vec<Network>,
    port: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    range: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    protocol: Protocol,
    port: u16,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Tcp,
    Udp,
}

pub(crate) fn egress(text: &str) -> Result<String, String> {
    let Egress { network, port } = parse(text)?;
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for row in &network {
        match range(&row.range)? {
            (IpAddr::V4(address), prefix) => v4.push((address, prefix, row)),
            (IpAddr::V6(address), prefix) => v6.push((address, prefix, row)),
        }
    }
    ordered(v4.iter().map(|(address, _, row)| (*address, &row.reason)))?;
    ordered(v6.iter().map(|(address, _, row)| (*address, &row.reason)))?;
    ordered(
        port.iter()
            .map(|row| ((row.protocol, row.port), &row.reason)),
    )?;
    let v4 = table(
        "EGRESS_V4",
        "NetworkRule<Ipv4Addr>",
        "Blocked IPv4, by address.",
        &v4,
        |row| {
            let (address, prefix, Network { reason, .. }) = row;
            let bits = address.to_bits();
            format!("address: Ipv4Addr::from_bits({bits}), prefix: {prefix}, reason: {reason:?}")
        },
    )?;
    let v6 = table(
        "EGRESS_V6",
        "NetworkRule<Ipv6Addr>",
        "Blocked IPv6, by address.",
        &v6,
        |row| {
            let (address, prefix, Network { reason, .. }) = row;
            let bits = address.to_bits();
            format!("address: Ipv6Addr::from_bits({bits}), prefix: {prefix}, reason: {reason:?}")
        },
    )?;
    let ports = table(
        "EGRESS_PORTS",
        "PortRule",
        "Blocked ports, by number.",
        &port,
        |row| {
            let Port {
                protocol,
                port,
                reason,
            } = row;
            format!("protocol: Protocol::{protocol:?}, port: {port}, reason: {reason:?}")
        },
    )?;
    Ok(v4 + &v6 + &ports)
}

/// An address and a prefix length, with nothing behind the prefix.
fn range(text: &str) -> Result<(IpAddr, u8), String> {
    let error = || format!("{text:?} is not a range of addresses");
    let (address, prefix) = text.split_once('/').ok_or_else(error)?;
    let address: IpAddr = address.parse().map_err(|_| error())?;
    let prefix: u8 = prefix.parse().map_err(|_| error())?;
    let (bits, rest) = match address {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let behind = rest.checked_shl(u32::from(prefix)).unwrap_or(0);
    (prefix <= bits && behind == 0)
        .then_some((address, prefix))
        .ok_or_else(error)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Checks that the keys ascend, so that none stands twice, and that no reason is missing.
fn ordered<'a, K: PartialOrd + Debug>(
    rows: impl Iterator<Item = (K, &'a String)>,
) -> Result<(), String> {
    let mut last: Option<K> = None;
    for (key, reason) in rows {
        if reason.trim().is_empty() {
            return Err(format!("{key:?} has no reason"));
        }
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(format!("{key:?} stands twice or out of order"));
        }
        last = Some(key);
    }
    Ok(())
}

fn table<T>(
    name: &str,
    kind: &str,
    says: &str,
    rows: &[T],
    fields: impl Fn(&T) -> String,
) -> Result<String, String> {
    let noun = kind.split('<').next().unwrap_or(kind);
    let mut source = format!("/// {says}\npub static {name}: &[{kind}] = &[\n");
    for row in rows {
        writeln!(source, "    {noun} {{ {} }},", fields(row)).map_err(|error| error.to_string())?;
    }
    Ok(source + "];\n")
}
