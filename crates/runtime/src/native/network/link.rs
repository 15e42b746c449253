//! The veth pair of a sandbox that reaches the internet.
//!
//! Index, hardware address and addresses of both ends follow from the slot, so that everything
//! is asked for without waiting for an answer in between: one `sendmsg` in the sandbox's
//! namespace, one in the host's. Neighbours are entered for good: no ARP is spoken, none can be
//! forged, and the entries do not count against Linux's table, which is full at 1,024 for all
//! namespaces together (`net.ipv4.neigh.default.gc_thresh3`).

use super::address::{Ends, LAST_SLOT};
use super::namespace::Host;
use crate::native::step::StepError;
use rustix::io::Errno;
use soulbox_syscall::netlink::message::Batch;
use soulbox_syscall::netlink::route::{self, End, Hardware, LOOPBACK, Link};
use soulbox_syscall::netlink::{Refused, Socket};
use std::time::Duration;

/// What the host's ends are called, before the slot's number.
pub const PREFIX: &str = "sbx";
/// What the sandbox's end is called.
const INSIDE: &str = "eth0";
/// The index of the sandbox's end: the first after loopback.
const INSIDE_INDEX: i32 = 2;
/// The index of slot 0's end on the host. Linux counts upwards from 1 and is far from here.
const HOST_INDEX: i32 = 0x0534_0000;
/// `IPV4_DEVCONF_RP_FILTER` of `linux/ip.h`.
const RP_FILTER: u16 = 8;
/// `IPV4_DEVCONF_FORWARDING` of `linux/ip.h`.
const FORWARDING: u16 = 1;
/// `IPV4_DEVCONF_SEND_REDIRECTS` of `linux/ip.h`.
const SEND_REDIRECTS: u16 = 6;
/// `IPV4_DEVCONF_ACCEPT_REDIRECTS` of `linux/ip.h`.
const ACCEPT_REDIRECTS: u16 = 4;

/// The name of a slot's end on the host.
pub fn host_name(slot: u32) -> String {
    format!("{PREFIX}{slot}")
}

/// The slot whose end on the host has this name.
pub fn slot_of(name: &str) -> Option<u32> {
    let slot: u32 = name.strip_prefix(PREFIX)?.parse().ok()?;
    (slot <= LAST_SLOT && host_name(slot) == name).then_some(slot)
}

/// Makes the pair and sets up the sandbox's end, with its loopback. `inside` is a socket of the
/// sandbox's namespace.
pub(super) fn connect(inside: &Socket, host: &Host, ends: &Ends) -> Result<(), StepError> {
    match ask_inside(inside, host, ends) {
        // The slot is ours, so a link of its name is a dead sandbox's that is still being
        // cleared away.
        Err(refused) if refused.errno == Errno::EXIST => {
            disconnect(host, ends.slot)?;
            ask_inside(inside, host, ends)
        }
        other => other,
    }
    .map_err(|refused| named(refused, ends.slot))?;
    ask_outside(host, ends).map_err(|refused| {
        // The step that failed is told, not what could not be undone after it.
        let _ = disconnect(host, ends.slot);
        named(refused, ends.slot)
    })?;
    wait_until_running(inside);
    Ok(())
}

/// Linux switches the end that was up first on in the background, when it learns that the other
/// one is up too, and drops packets until then: a connection's first one would come again only a
/// second later. Linux 6.8 and later make up for it when they are asked about the link; before
/// them, asking again a few times is enough. One that is still not running then is merely slow.
fn wait_until_running(inside: &Socket) {
    const TRIES: usize = 20;
    const PAUSE: Duration = Duration::from_micros(100);
    for _ in 0..TRIES {
        let mut batch = Batch::default();
        batch.link("look at the sandbox's end", INSIDE_INDEX);
        let mut running = false;
        let asked = inside.ask(batch, |kind, payload| {
            running |= route::link(kind, payload).is_some_and(|link| link.running);
        });
        if running || asked.is_err() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn ask_inside(inside: &Socket, host: &Host, ends: &Ends) -> Result<(), Refused> {
    let name = host_name(ends.slot);
    let mut batch = Batch::default();
    batch.veth(
        "make the veth pair",
        &End {
            name: INSIDE,
            index: INSIDE_INDEX,
            hardware: inside_hardware(ends.slot),
            up: true,
        },
        &End {
            name: &name,
            index: host_index(ends.slot),
            hardware: host_hardware(ends.slot),
            up: false,
        },
        host.namespace(),
    );
    batch.link_up("switch the loopback on", LOOPBACK);
    batch.address("set the sandbox's address", INSIDE_INDEX, ends.sandbox);
    batch.neighbour(
        "tell the sandbox its way out",
        INSIDE_INDEX,
        ends.host,
        host_hardware(ends.slot),
    );
    batch.default_route("set the sandbox's default route", INSIDE_INDEX, ends.host);
    inside.run(batch)
}

fn ask_outside(host: &Host, ends: &Ends) -> Result<(), Refused> {
    let index = host_index(ends.slot);
    let mut batch = Batch::default();
    batch.link_ipv4(
        "refuse spoofed sources on the host's end",
        index,
        &[
            (FORWARDING, 1),
            (RP_FILTER, 1),
            (SEND_REDIRECTS, 0),
            (ACCEPT_REDIRECTS, 0),
        ],
    );
    if host.speaks_ipv6() {
        batch.link_without_ipv6_address("keep IPv6 off the host's end", index);
    }
    batch.address("set the host's address", index, ends.host);
    batch.link_up("switch the host's end on", index);
    batch.neighbour(
        "tell the host where the sandbox is",
        index,
        ends.sandbox,
        inside_hardware(ends.slot),
    );
    host.route().run(batch)
}

/// Removes a slot's veth pair; it is well when there is none.
///
/// This waits for Linux (12 to 32 ms, measured), and is not how a sandbox ends: the
/// pair goes by itself when the last descriptor of its namespace is closed, in the background
/// and many at once.
///
/// # Errors
/// Linux's own error.
pub fn disconnect(host: &Host, slot: u32) -> Result<(), StepError> {
    let mut batch = Batch::default();
    batch.link_remove("remove the veth pair", &host_name(slot));
    match host.route().run(batch) {
        Err(refused) if refused.errno != Errno::NODEV => Err(named(refused, slot)),
        _ => Ok(()),
    }
}

/// The slots whose links are there, in order.
///
/// # Errors
/// Linux's own error.
pub fn slots(host: &Host) -> Result<Vec<u32>, StepError> {
    let links = list(host)?;
    let mut slots: Vec<_> = links
        .iter()
        .filter_map(|link| slot_of(&link.name))
        .collect();
    slots.sort_unstable();
    Ok(slots)
}

/// All links of the host's namespace.
pub(super) fn list(host: &Host) -> Result<Vec<Link>, StepError> {
    /// The list changes while it is read when sandboxes come and go.
    const TRIES: usize = 20;
    let mut last = Errno::INTR;
    for _ in 0..TRIES {
        let mut links = Vec::new();
        let listed = host.route().list(route::list_links(), |kind, payload| {
            links.extend(route::link(kind, payload));
        });
        match listed {
            Ok(()) => return Ok(links),
            Err(refused) if refused.errno == Errno::INTR => {}
            Err(refused) => {
                last = refused.errno;
                break;
            }
        }
    }
    Err(StepError {
        step: "list the host's links".to_owned(),
        errno: last,
    })
}

fn named(refused: Refused, slot: u32) -> StepError {
    StepError {
        step: format!("{} of slot {slot}", refused.asked),
        errno: refused.errno,
    }
}

fn host_index(slot: u32) -> i32 {
    HOST_INDEX + slot.cast_signed()
}

/// A locally administered address (second bit of the first byte) that tells its end and slot.
fn hardware(end: u8, slot: u32) -> Hardware {
    let [_, _, high, low] = slot.to_be_bytes();
    [0x02, b's', b'b', end, high, low]
}

fn host_hardware(slot: u32) -> Hardware {
    hardware(0, slot)
}

fn inside_hardware(slot: u32) -> Hardware {
    hardware(1, slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_tell_their_slot() {
        assert_eq!(slot_of("sbx1"), Some(1));
        assert_eq!(slot_of(&host_name(4095)), Some(4095));
        for other in [
            "sbx", "sbx01", "sbx+1", "sbx4096", "sbx-1", "eth0", "sbx1a", "xsbx1",
        ] {
            assert_eq!(slot_of(other), None, "{other}");
        }
        assert!(
            host_name(LAST_SLOT).len() <= 15,
            "Linux's IFNAMSIZ less the zero"
        );
    }
}
