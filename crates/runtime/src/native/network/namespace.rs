//! Making a network namespace from outside.
//!
//! All calls block and are quick. They move the calling thread into the new namespace and back,
//! so that only a single-threaded program, or a thread of its own, should make them.

use super::address::Ends;
use super::{link, owned};
use crate::native::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use soulbox_syscall::namespace::{enter_network_namespace, new_network_namespace};
use soulbox_syscall::netlink::Socket;
use soulbox_syscall::netlink::message::Batch;
use soulbox_syscall::netlink::route::LOOPBACK;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where a sandbox asks for names: what systemd's stub is called too, so that it clashes with
/// nothing, and not 127.0.0.1, where a name server of the sandbox's own may want to be.
pub const RESOLVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 53), 53);

/// The calling thread's own namespace: what `/proc/self` names is the whole process's.
const OWN: &str = "/proc/thread-self/ns/net";

/// How many bytes of questions wait for the resolver in Linux. Linux doubles it; what comes
/// on top is dropped, as on any full link.
const QUESTIONS_WAITING: usize = 32 * 1024;

/// How many connections wait for the resolver in Linux.
const CONNECTIONS_WAITING: i32 = 16;

/// What is set in each network namespace, and its value.
const SYSCTLS: [(&str, &str); 1] = [
    // Root in the sandbox has no CAP_NET_BIND_SERVICE over a namespace of the host's.
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
];

/// What is set on top before a namespace gets a link.
const SYSCTLS_WITH_LINK: [(&str, &str); 2] = [
    // The link comes into being without IPv6. The loopback, which leads nowhere, keeps `::1`.
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
    // `ping` without raw sockets; all groups are the sandbox's own.
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

/// The host's side, opened once.
#[derive(Debug)]
pub struct Host {
    namespace: OwnedFd,
    route: Socket,
    ipv6: bool,
}

/// The sockets on which a sandbox asks for names: non-blocking, bound to [`RESOLVER`] in its
/// namespace. They keep the namespace alive: whoever serves them closes them at its end.
#[derive(Debug)]
pub struct ResolverSockets {
    /// Bound, datagrams.
    pub udp: OwnedFd,
    /// Listening.
    pub tcp: OwnedFd,
}

/// A network namespace as it was made.
#[derive(Debug)]
pub struct NetworkNamespace {
    /// The namespace, for setns(2). Closing it gives a namespace without link back.
    pub namespace: OwnedFd,
    /// With `internet` only.
    pub resolver: Option<ResolverSockets>,
}

impl Host {
    /// Takes the calling thread's network namespace as the host's.
    ///
    /// # Errors
    /// Linux's own error, named.
    pub fn open() -> Result<Self, StepError> {
        let namespace = own().step(|| "open the host's network namespace".to_owned())?;
        let route = Socket::route().step(|| "open a netlink socket".to_owned())?;
        let ipv6 = rustix::fs::access("/proc/sys/net/ipv6", Access::EXISTS).is_ok();
        Ok(Self {
            namespace,
            route,
            ipv6,
        })
    }

    /// Whether the host's Linux was started with IPv6.
    pub(super) fn speaks_ipv6(&self) -> bool {
        self.ipv6
    }

    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    pub(super) fn route(&self) -> &Socket {
        &self.route
    }

    /// Does something inside a namespace and goes back. A process that cannot go back ends:
    /// whatever it did from there would be done in the wrong place.
    fn inside<T>(&self, act: impl FnOnce() -> Result<T, StepError>) -> Result<T, StepError> {
        let done = act();
        if enter_network_namespace(self.namespace()).is_err() {
            std::process::abort();
        }
        done
    }
}

/// Makes a network namespace, of the caller's user namespace, or of a fresh one of the user `owner`'s
/// (a host id; see `owned`): with a link and a resolver when `ends` are given, else with its
/// loopback only. When a step fails, everything is given back.
///
/// # Errors
/// The step that Linux refused.
pub fn create(
    host: &Host,
    ends: Option<&Ends>,
    owner: Option<u32>,
) -> Result<NetworkNamespace, StepError> {
    match owner {
        None => new_network_namespace().step(|| "make a network namespace".to_owned())?,
        Some(owner) => {
            let namespace = owned::create(owner)?;
            enter_network_namespace(namespace.as_fd())
                .step(|| "enter the new network namespace".to_owned())?;
        }
    }
    host.inside(|| {
        let namespace = own().step(|| "open the new network namespace".to_owned())?;
        set_all(&SYSCTLS)?;
        let resolver = match ends {
            Some(ends) => Some(wire(host, ends)?),
            None => {
                loopback_up()?;
                None
            }
        };
        Ok(NetworkNamespace {
            namespace,
            resolver,
        })
    })
}

/// Gives a namespace that was made without a link one, and a resolver.
///
/// # Errors
/// The step that Linux refused; the namespace is as it was then.
pub fn connect(
    host: &Host,
    namespace: BorrowedFd<'_>,
    ends: &Ends,
) -> Result<ResolverSockets, StepError> {
    enter_network_namespace(namespace).step(|| "enter a network namespace".to_owned())?;
    host.inside(|| wire(host, ends))
}

/// Link and resolver of the namespace that the caller is in.
fn wire(host: &Host, ends: &Ends) -> Result<ResolverSockets, StepError> {
    set_all(&SYSCTLS_WITH_LINK)?;
    let inside = Socket::route().step(|| "open a netlink socket".to_owned())?;
    link::connect(&inside, host, ends)?;
    resolver_sockets().inspect_err(|_| {
        // The step that failed is told, not what could not be undone after it.
        let _ = link::disconnect(host, ends.slot);
    })
}

fn loopback_up() -> Result<(), StepError> {
    let mut batch = Batch::default();
    batch.link_up("switch the loopback on", LOOPBACK);
    let inside = Socket::route().step(|| "open a netlink socket".to_owned())?;
    inside.run(batch).map_err(|refused| StepError {
        step: refused.asked.to_owned(),
        errno: refused.errno,
    })
}

fn resolver_sockets() -> Result<ResolverSockets, StepError> {
    let open = |kind| -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
        sockopt::set_socket_recv_buffer_size(&socket, QUESTIONS_WAITING)?;
        rustix::net::bind(&socket, &RESOLVER)?;
        Ok(socket)
    };
    let udp = open(SocketType::DGRAM).step(|| format!("bind {RESOLVER} for datagrams"))?;
    let tcp = open(SocketType::STREAM).step(|| format!("bind {RESOLVER} for connections"))?;
    rustix::net::listen(&tcp, CONNECTIONS_WAITING).step(|| format!("listen on {RESOLVER}"))?;
    Ok(ResolverSockets { udp, tcp })
}

fn own() -> Result<OwnedFd, Errno> {
    rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn set_all(sysctls: &[(&str, &str)]) -> Result<(), StepError> {
    for (path, value) in sysctls {
        set(path, value).step(|| format!("write {value:?} to {path}"))?;
    }
    Ok(())
}

fn set(path: &str, value: &str) -> Result<(), Errno> {
    match rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => rustix::io::write(file, value.as_bytes()).map(|_| ()),
        // A Linux that was started without IPv6 has none to switch off.
        Err(Errno::NOENT) if path.starts_with("/proc/sys/net/ipv6/") => Ok(()),
        Err(errno) => Err(errno),
    }
}
