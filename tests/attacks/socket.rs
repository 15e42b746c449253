//! Sockets that forge, listen or configure, and sockets of the host.

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Inside, Looked, Same, Weak};

const ATTEMPTS: &[Attempt] = &[
    both(
        "a raw socket for ICMP",
        "socket.socket(2, 3, 1)",
        "EPERM",
        Same,
    ),
    both(
        "a raw socket for all of IP",
        "socket.socket(2, 3, 255)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "a raw socket of IPv6",
        "socket.socket(10, 3, 58)",
        "EPERM",
        Same,
    ),
    both(
        "a packet socket",
        "socket.socket(17, 3, 0x300)",
        "EAFNOSUPPORT",
        Same,
    ),
    both(
        "a packet socket by its old name",
        "socket.socket(2, 10, 0x300)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "a packet socket for datagrams",
        "socket.socket(17, 2, 0x300)",
        "EAFNOSUPPORT",
        Same,
    ),
    both(
        "a family behind bits that Linux throws away",
        "libc.syscall(41, ctypes.c_long(1 << 32 | 17), 3, 0) >= 0 or \
         (_ for _ in ()).throw(OSError(ctypes.get_errno(), 'socket'))",
        "EAFNOSUPPORT",
        Same,
    ),
    both(
        "the crypto of Linux (AF_ALG)",
        "socket.socket(38, 5, 0)",
        "EAFNOSUPPORT",
        Looked,
    ),
    both(
        "the machine below (vsock)",
        "socket.socket(40, 1, 0)",
        "EAFNOSUPPORT",
        Looked,
    ),
    both(
        "a key socket (IPsec)",
        "socket.socket(15, 3, 2)",
        "EAFNOSUPPORT",
        Looked,
    ),
    both(
        "Bluetooth",
        "socket.socket(31, 3, 1)",
        "EAFNOSUPPORT",
        Looked,
    ),
    both("CAN", "socket.socket(29, 3, 1)", "EAFNOSUPPORT", Looked),
    both("TIPC", "socket.socket(30, 1, 0)", "EAFNOSUPPORT", Looked),
    both("RDS", "socket.socket(21, 5, 0)", "EAFNOSUPPORT", Looked),
    both("XDP", "socket.socket(44, 3, 0)", "EAFNOSUPPORT", Looked),
    both(
        "SCTP",
        "socket.socket(2, 1, 132)",
        "EPROTONOSUPPORT",
        Weak("lacking('sctp')"),
    ),
    both("MPTCP", "socket.socket(2, 1, 262)", "EPROTONOSUPPORT", Same),
    both(
        "UDP-Lite",
        "socket.socket(2, 2, 136)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "netfilter's netlink",
        "socket.socket(16, 3, 12)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "audit's netlink",
        "socket.socket(16, 3, 9)",
        "EPROTONOSUPPORT",
        Looked,
    ),
    both(
        "uevents of devices",
        "socket.socket(16, 3, 15)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "generic netlink",
        "socket.socket(16, 3, 16)",
        "EPROTONOSUPPORT",
        Same,
    ),
    both(
        "IPsec's netlink",
        "socket.socket(16, 3, 6)",
        "EPROTONOSUPPORT",
        Looked,
    ),
    both(
        "SCSI's netlink",
        "socket.socket(16, 3, 18)",
        "EPROTONOSUPPORT",
        Looked,
    ),
    both(
        "give oneself an address by netlink",
        NETLINK_ADDRESS,
        "EPERM",
        Weak(NETLINK_ADDRESS_AWAY),
    ),
    both(
        "take a link down by netlink",
        "s = socket.socket(16, 3, 0); s.bind((0, 0))\n\
         s.send(struct.pack('IHHIIBxHiII', 32, 16, 5, 1, 0, 0, 0, 1, 0, 1))\n\
         code = struct.unpack_from('i', s.recv(4096), 16)[0]\n\
         if code: raise OSError(-code, 'netlink')",
        "EPERM",
        Weak(
            "sc('unshare', NEWNET)\ns = socket.socket(16, 3, 0); s.bind((0, 0))\n\
             s.send(struct.pack('IHHIIBxHiII', 32, 16, 5, 1, 0, 0, 0, 1, 0, 1))\n\
             code = struct.unpack_from('i', s.recv(4096), 16)[0]\n\
             if code: raise OSError(-code, 'netlink')",
        ),
    ),
    both(
        "mark packets, to pass by the host's rules",
        "socket.socket().setsockopt(1, 36, 1)",
        "EPERM",
        Same,
    ),
    both(
        "take more memory for a socket than allowed",
        "socket.socket().setsockopt(1, 33, 1 << 28)",
        "EPERM",
        Same,
    ),
    both(
        "send as an address that is not one's own (IP_TRANSPARENT)",
        "socket.socket().setsockopt(0, 19, 1)",
        "EPERM",
        Same,
    ),
    both(
        "urgent priority for packets",
        "socket.socket().setsockopt(1, 12, 7)",
        "EPERM",
        Same,
    ),
    both(
        "have Linux compile a filter for a socket",
        "rule = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0xffff))\n\
         socket.socket(2, 2).setsockopt(1, 26, struct.pack('HxxxxxxQ', 1, ctypes.addressof(rule)))",
        "EPERM",
        Same,
    ),
    both(
        "have Linux compile a filter that spreads connections",
        "rule = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))\n\
         s = socket.socket(2, 2); s.setsockopt(1, 15, 1); s.bind(('127.0.0.1', 0))\n\
         s.setsockopt(1, 51, struct.pack('HxxxxxxQ', 1, ctypes.addressof(rule)))",
        "EPERM",
        Same,
    ),
    both(
        "attach a BPF program to a socket",
        "socket.socket(2, 2).setsockopt(1, 50, struct.pack('i', -1))",
        "EPERM",
        Looked,
    ),
    both(
        "have Linux speak TLS on a socket",
        "socket.socket().setsockopt(6, 31, b'tls')",
        "EPERM",
        Looked,
    ),
    both(
        "forge the process id on a Unix socket",
        "a, b = socket.socketpair()\n\
         a.sendmsg([b'x'], [(1, 2, struct.pack('iII', 1, os.getuid(), os.getgid()))])",
        "EPERM",
        Same,
    ),
    both(
        "forge a user id outside the map on a Unix socket",
        "a, b = socket.socketpair()\n\
         a.sendmsg([b'x'], [(1, 2, struct.pack('iII', os.getpid(), 70000, 70000))])",
        "EINVAL",
        Same,
    ),
    both(
        "connect to an abstract socket of the host",
        "s = socket.socket(1); s.connect('\\0' + FACTS['abstract']); s.recv(99)",
        "ECONNREFUSED",
        Same,
    ),
    both(
        "connect to a socket of the host by its path",
        "s = socket.socket(1); s.connect(FACTS['socket']); s.recv(99)",
        "ENOENT",
        Same,
    ),
    both(
        "connect to a server on the host's loopback",
        "s = socket.create_connection(('127.0.0.1', FACTS['port']), 3); s.recv(99)",
        "ECONNREFUSED",
        Same,
    ),
    both(
        "connect to it as 0.0.0.0",
        "s = socket.create_connection(('0.0.0.0', FACTS['port']), 3); s.recv(99)",
        "ECONNREFUSED",
        Same,
    ),
    both(
        "connect to it by IPv6",
        "s = socket.socket(10); s.settimeout(3); s.connect(('::ffff:127.0.0.1', FACTS['port'])); s.recv(99)",
        "ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH",
        Same,
    ),
    both(
        "see the host's sockets through sock_diag",
        "s = socket.socket(16, 3, 4); s.bind((0, 0))\n\
         s.send(struct.pack('IHHII', 72, 20, 0x301, 1, 0) + struct.pack('BBBxI', 2, 6, 0, 0xffffffff) + bytes(48))\n\
         port = struct.pack('>H', FACTS['port'])\nseen = b''\n\
         while True:\n    piece = s.recv(1 << 16); seen += piece\n    \
         if struct.unpack_from('H', piece, 4)[0] in (2, 3): break\n\
         port in seen or refused('nothing found')",
        "nothing found",
        Same,
    ),
    both(
        "any address at all without a network",
        "s = socket.socket(); s.settimeout(2); s.connect(('192.0.2.1', 80))",
        "ENETUNREACH",
        Inside(
            "a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(); socket.create_connection(a.getsockname())",
        ),
    ),
    both(
        "a datagram to anybody without a network",
        "socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53))",
        "ENETUNREACH",
        Inside("socket.socket(2, 2).sendto(b'x', ('127.0.0.1', 9))"),
    ),
    both(
        "a datagram to everybody without a network",
        "s = socket.socket(2, 2); s.setsockopt(1, 6, 1); s.sendto(b'x', ('255.255.255.255', 9))",
        "ENETUNREACH",
        Inside("socket.socket(2, 2).sendto(b'x', ('127.0.0.1', 9))"),
    ),
];

/// Adds 192.0.2.9/32 to the loopback.
const NETLINK_ADDRESS: &str = "s = socket.socket(16, 3, 0); s.bind((0, 0))
s.send(struct.pack('IHHIIBBBBI', 40, 20, 0x605, 1, 0, 2, 32, 0, 0, 1)
   + struct.pack('HH4sHH4s', 8, 2, bytes([192, 0, 2, 9]), 8, 1, bytes([192, 0, 2, 9])))
code = struct.unpack_from('i', s.recv(4096), 16)[0]
if code: raise OSError(-code, 'netlink')";

/// The same in a network namespace of its own.
const NETLINK_ADDRESS_AWAY: &str = "sc('unshare', NEWNET)
s = socket.socket(16, 3, 0); s.bind((0, 0))
s.send(struct.pack('IHHIIBBBBI', 40, 20, 0x605, 1, 0, 2, 32, 0, 0, 1)
   + struct.pack('HH4sHH4s', 8, 2, bytes([192, 0, 2, 9]), 8, 1, bytes([192, 0, 2, 9])))
code = struct.unpack_from('i', s.recv(4096), 16)[0]
if code: raise OSError(-code, 'netlink')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_forge_and_reach_nothing() {
    besiege("sockets", ATTEMPTS).await;
}
