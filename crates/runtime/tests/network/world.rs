//! A host of its own, with an internet of its own behind it, for each test.
//!
//! Both are network namespaces without a name that end with the test. Nothing in them leads to
//! the machine's own network. The "internet" has every address that the tests ask for, and a
//! server behind each of them.

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use soulbox_runtime::native::network::address::{Ends, SandboxRange};
use soulbox_runtime::native::network::firewall::rules::{CONNECTIONS, Rules};
use soulbox_runtime::native::network::link;
use soulbox_runtime::native::network::namespace::{self, Host, NetworkNamespace};
use soulbox_runtime::native::policy::Protocol;
use soulbox_syscall::namespace::{enter_network_namespace, new_network_namespace};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The host's address towards the internet.
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// Another address of the host, on no link that leads anywhere.
pub(crate) const ALIAS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// A server that everybody may reach.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// Servers that nobody may reach, one for each range of [`refused`].
pub(crate) const REFUSED: [Ipv4Addr; 6] = [
    Ipv4Addr::new(10, 1, 2, 3),
    Ipv4Addr::new(172, 16, 5, 5),
    Ipv4Addr::new(192, 168, 7, 7),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 64, 1, 1),
    Ipv4Addr::new(198, 18, 200, 200),
];
/// Ports with a server on every address of the internet and the host.
pub(crate) const PORTS: [u16; 3] = [80, 25, 587];
/// How long an answer may take before it counts as none: longer than a lost packet takes to be
/// sent again (1 s).
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing must arrive to count as nothing.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// A network namespace that plays the host; the test's thread is in it.
pub(crate) struct World {
    pub(crate) internet: OwnedFd,
    pub(crate) here: OwnedFd,
    pub(crate) host: Host,
    pub(crate) range: SandboxRange,
    pub(crate) run_dir: tempfile::TempDir,
}

/// Runs a test in a thread of its own, in a world of its own.
pub(crate) fn in_a_world(test: impl FnOnce(&World) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let thread = std::thread::spawn(move || test(&World::new()));
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    fn new() -> Self {
        let real = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        new_network_namespace().unwrap();
        // Linux gives a new namespace what the machine's own has, which others may be changing.
        set_sysctl("ipv4/ip_forward", "0");
        set_sysctl("ipv4/conf/all/rp_filter", "0");
        set_sysctl("ipv6/conf/all/forwarding", "0");
        ip("link set lo up");
        let internet = fresh_namespace();
        let there = path_of(&internet);
        ip(&format!(
            "link add uplink type veth peer name eth0 netns {there}"
        ));
        ip(&format!("addr add {UPLINK}/24 dev uplink"));
        ip(&format!("addr add {ALIAS}/32 dev lo"));
        ip("link set uplink up");
        ip("route add default via 203.0.113.1");
        inside(&internet, || {
            ip("link set lo up");
            ip("addr add 203.0.113.1/24 dev eth0");
            ip("link set eth0 up");
            // Packets with any source get an answer, so that nothing but the host's rules
            // keeps a server from being reached.
            ip("route add default via 203.0.113.2");
            for address in REFUSED.iter().chain([&PUBLIC]) {
                ip(&format!("addr add {address}/32 dev lo"));
            }
            for address in REFUSED.iter().chain([&PUBLIC]) {
                PORTS
                    .iter()
                    .for_each(|port| serve_datagrams(*address, *port));
            }
            PORTS.into_iter().for_each(serve);
        });
        PORTS.into_iter().for_each(serve);
        // Linux drops packets until it has noticed that both ends of a link are up.
        assert_eq!(reach(PUBLIC, 80), Ok(()), "the internet is up");
        let here = own_namespace();
        assert_ne!(
            own_inode(),
            real,
            "the test is not on the machine's own network"
        );
        Self {
            internet,
            here,
            host: Host::open().unwrap(),
            range: SandboxRange::new("198.18.0.0/19".parse().unwrap()).unwrap(),
            run_dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    pub(crate) fn rules(&self) -> Rules {
        Self::rules_of("198.18.0.0/19")
    }

    pub(crate) fn rules_of(subnet: &str) -> Rules {
        Rules {
            range: SandboxRange::new(subnet.parse().unwrap()).unwrap(),
            refused: refused(),
            refused_ports: [25, 465, 587].map(|port| (Protocol::Tcp, port)).to_vec(),
            allow: Vec::new(),
            connections: CONNECTIONS,
        }
    }

    pub(crate) fn ends(&self, slot: u32) -> Ends {
        self.range.ends(slot).unwrap()
    }

    pub(crate) fn sandbox(&self, slot: u32) -> NetworkNamespace {
        namespace::create(&self.host, Some(&self.ends(slot)), None).unwrap()
    }

    pub(crate) fn disconnect(&self, slot: u32) {
        link::disconnect(&self.host, slot).unwrap();
    }

    /// Runs something in the internet.
    pub(crate) fn out_there<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        inside(&self.internet, act)
    }
}

/// The ranges of [`REFUSED`].
pub(crate) fn refused() -> Vec<soulbox_settings::Subnet> {
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
    ]
    .into_iter()
    .chain(["198.18.0.0/15"])
    .map(|text| text.parse().unwrap())
    .collect()
}

/// Runs something in a network namespace, in a thread of its own.
pub(crate) fn inside<T: Send>(namespace: &OwnedFd, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_network_namespace(namespace.as_fd()).unwrap();
            act()
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Opens a connection and reads the server's word; tells why not.
pub(crate) fn reach(address: Ipv4Addr, port: u16) -> Result<(), ErrorKind> {
    let to = SocketAddr::from(SocketAddrV4::new(address, port));
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).map_err(|error| error.kind())?;
    assert_eq!(&word, b"here");
    Ok(())
}

/// Sends a datagram and waits for the server's word; sends it again when there is none.
pub(crate) fn reach_udp(address: Ipv4Addr, port: u16) -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE / 3)).unwrap();
    socket.connect((address, port)).unwrap();
    for _ in 0..3 {
        match socket.send(b"ask").and_then(|_| socket.recv(&mut [0; 16])) {
            Ok(length) => return length == 4,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    false
}

/// A TCP server of the calling thread's namespace, on all addresses.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"here");
            // Closed by the other side, so that a test can hold connections open.
            std::thread::spawn(move || (&stream).read(&mut [0; 1]));
        }
    });
}

/// A UDP server of the calling thread's namespace. On one address: from all of them, it would
/// answer with another one than it was asked on.
pub(crate) fn serve_datagrams(address: Ipv4Addr, port: u16) {
    let socket = UdpSocket::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            let _ = socket.send_to(b"here", from);
        }
    });
}

/// Tells of each datagram that comes to `port` in the calling thread's namespace.
pub(crate) fn listen_for_datagrams(port: u16) -> Receiver<SocketAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            if tell.send(from).is_err() {
                return;
            }
        }
    });
    told
}

pub(crate) fn fresh_namespace() -> OwnedFd {
    std::thread::spawn(|| {
        new_network_namespace().unwrap();
        own_namespace()
    })
    .join()
    .unwrap()
}

pub(crate) fn own_namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net")
        .unwrap()
        .into()
}

fn own_inode() -> u64 {
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
}

/// A path by which `ip` finds a namespace without a name.
pub(crate) fn path_of(namespace: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}

pub(crate) fn ip(arguments: &str) {
    let words: Vec<_> = arguments.split_whitespace().collect();
    let ended = program("ip", &words);
    assert!(ended.0, "ip {arguments}: {}", ended.1);
}

/// Runs `nft` with rules on its command line; gives back what it printed.
pub(crate) fn nft(rules: &str) -> String {
    let (well, said) = program("nft", &[rules]);
    assert!(well, "nft {rules}: {said}");
    said
}

/// Runs a program: whether it ended well, and what it said. A missing one does not end well.
pub(crate) fn program(name: &str, arguments: &[&str]) -> (bool, String) {
    #[allow(
        clippy::disallowed_methods,
        reason = "the test builds its network with it"
    )]
    let output = match Command::new(name).args(arguments).output() {
        Ok(output) => output,
        Err(error) => return (false, error.to_string()),
    };
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

pub(crate) fn sysctl(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{path}"))
        .unwrap()
        .trim()
        .to_owned()
}

pub(crate) fn set_sysctl(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}
