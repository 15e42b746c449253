//! `net.ipv4.ip_forward`: the host must pass packets on for its sandboxes, and for nobody else
//! for whom it did not before.

use super::super::link;
use super::super::namespace::Host;
use crate::native::step::{Step, StepError};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use soulbox_syscall::netlink::route::Link;

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Switching forwarding on or off sets this one too (`inet_forward_change` in Linux).
const ACCEPT_REDIRECTS: &str = "/proc/sys/net/ipv4/conf/all/accept_redirects";

/// The host's switches as they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// Present when forwarding was off.
    pub(super) off: Option<Off>,
}

/// What is needed to switch forwarding off again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Off {
    /// `net.ipv4.conf.all.accept_redirects`.
    accept_redirects: String,
    /// Links that were there, less ours: what comes in there is passed on to nobody but
    /// sandboxes, as before.
    pub(super) links: Vec<String>,
    /// Those of them that passed on although the host as a whole did not.
    forwarding: Vec<String>,
}

impl Before {
    /// Reads the host's switches.
    pub(super) fn read() -> Result<Self, StepError> {
        if get(IP_FORWARD)? != "0" {
            return Ok(Self { off: None });
        }
        let links: Vec<_> = links()?.into_iter().map(|link| link.name).collect();
        let mut forwarding = links.clone();
        forwarding.retain(|link| get(&of_link(link)).is_ok_and(|value| value != "0"));
        let accept_redirects = get(ACCEPT_REDIRECTS)?;
        Ok(Self {
            off: Some(Off {
                accept_redirects,
                links,
                forwarding,
            }),
        })
    }

    /// Sets the switches as they were found. When a bridge came into being meanwhile, some other
    /// engine (Docker, libvirt, LXD) counts on forwarding, and it stays on.
    pub(super) fn restore(&self) -> Result<(), StepError> {
        let Some(off) = &self.off else { return Ok(()) };
        if get(IP_FORWARD)? == "0" {
            return Ok(());
        }
        let new_bridge = links()?
            .into_iter()
            .find(|link| link.kind.as_deref() == Some("bridge") && !off.links.contains(&link.name));
        if let Some(bridge) = new_bridge {
            tracing::warn!(
                bridge.name,
                "net.ipv4.ip_forward stays on: a new bridge may need it"
            );
            return Ok(());
        }
        set(IP_FORWARD, "0")?;
        set(ACCEPT_REDIRECTS, &off.accept_redirects)?;
        for link in &off.forwarding {
            match set(&of_link(link), "1") {
                Err(error) if error.errno != Errno::NOENT => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Switches forwarding on; nothing is written when it is on.
pub(super) fn switch_on() -> Result<(), StepError> {
    if get(IP_FORWARD)? == "0" {
        set(IP_FORWARD, "1")
    } else {
        Ok(())
    }
}

fn of_link(link: &str) -> String {
    format!(
        "/proc/sys/net/ipv4/conf/{}/forwarding",
        link.replace('.', "/")
    )
}

/// All links but loopback and ours.
fn links() -> Result<Vec<Link>, StepError> {
    let mut links = link::list(&Host::open()?)?;
    links.retain(|link| {
        link.name != "lo" && link::slot_of(&link.name).is_none() && plain(&link.name)
    });
    Ok(links)
}

/// Linux allows nearly any byte in a link's name. One that could mean something in a path or a
/// rule is left alone.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:".contains(&byte))
}

fn get(path: &str) -> Result<String, StepError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .step(|| format!("read {path}"))
}

fn set(path: &str, value: &str) -> Result<(), StepError> {
    std::fs::write(path, value)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .step(|| format!("write {value:?} to {path}"))
}
