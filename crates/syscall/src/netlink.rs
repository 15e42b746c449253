//! Netlink: asking Linux for links, addresses, routes and neighbours.
//!
//! A [`Batch`] holds several requests and goes out in one `sendmsg`; Linux works through all of
//! them and [`Socket::run`] tells the first one that it refused, by the words that were given
//! with it. There is no unsafe code here: messages are bytes.
//!
//! | Part | File |
//! |---|---|
//! | requests as bytes, replies from bytes | [`message`] |
//! | links, addresses, routes, neighbours | [`route`] |
//! | nf_tables and connection tracking | [`netfilter`] |

pub mod message;
pub mod netfilter;
pub mod route;

use message::{Batch, Reply};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
};
use std::cell::Cell;

/// One receive takes at most this many bytes. Linux builds dumps in pieces of 8 KiB up to
/// 32 KiB, whichever the reader offers (`netlink_recvmsg`, `max_recvmsg_len`).
const RECEIVE: usize = 32 * 1024;

/// The same for answers to requests that ask for no list: Linux sends one message at a time.
const RECEIVE_ANSWER: usize = 8 * 1024;

/// A request that Linux refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for, in the form that follows "cannot".
    pub asked: &'static str,
    /// Linux's error.
    pub errno: Errno,
}

/// A netlink socket. It belongs to the network namespace that its maker was in, wherever the
/// maker goes afterwards.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// The sequence number of the next request.
    next: Cell<u32>,
}

impl Socket {
    /// Opens a socket for links, addresses, routes and neighbours (rtnetlink).
    ///
    /// # Errors
    /// Linux's own, see socket(2).
    pub fn route() -> Result<Self, Errno> {
        // NETLINK_ROUTE is 0, the protocol that is taken when none is named.
        Self::open(None)
    }

    /// Opens a socket for netfilter (nfnetlink): connection tracking and nf_tables.
    ///
    /// # Errors
    /// Linux's own, see socket(2).
    pub fn netfilter() -> Result<Self, Errno> {
        Self::open(Some(netlink::NETFILTER))
    }

    /// Opens a socket that is told of changes, for each group whose bit is set (group `n` is
    /// bit `n - 1`). They are read with [`news`].
    ///
    /// # Errors
    /// Linux's own, see socket(2) and bind(2).
    pub fn netfilter_groups(groups: u32) -> Result<Self, Errno> {
        let socket = Self::netfilter()?;
        rustix::net::bind(&socket.fd, &netlink::SocketAddrNetlink::new(0, groups))?;
        Ok(socket)
    }

    fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        Ok(Self {
            fd,
            next: Cell::new(1),
        })
    }

    /// Sends all requests of `batch` at once and waits until Linux has worked through them.
    /// A refused request does not keep the later ones from being tried.
    ///
    /// # Errors
    /// The first request that was refused.
    pub fn run(&self, batch: Batch) -> Result<(), Refused> {
        self.ask(batch, |_, _| {})
    }

    /// The same, and gives each answer (message type and payload) to `each`.
    ///
    /// # Errors
    /// The first request that was refused.
    pub fn ask(&self, batch: Batch, mut each: impl FnMut(u16, &[u8])) -> Result<(), Refused> {
        let Some(sent) = self.send(batch, true)? else {
            return Ok(());
        };
        let mut first = None;
        loop {
            let received = receive(&self.fd, RECEIVE_ANSWER, RecvFlags::empty())
                .map_err(|errno| sent.refused(sent.last, errno))?;
            for reply in message::replies(&received) {
                let (sequence, errno) = match reply {
                    Reply::Ended { sequence, errno } => (sequence, errno),
                    Reply::Entry {
                        sequence,
                        kind,
                        payload,
                    } => {
                        if sent.owns(sequence) {
                            each(kind, payload);
                        }
                        continue;
                    }
                };
                if let (Some(errno), None, true) = (errno, first, sent.owns(sequence)) {
                    first = Some(sent.refused(sequence, errno));
                }
                if sequence == sent.last {
                    return first.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends a batch whose only request asks for a list and gives each entry (message type and
    /// payload) to `each`.
    ///
    /// # Errors
    /// The request was refused, or the list changed while it was read (`INTR`).
    pub fn list(&self, batch: Batch, mut each: impl FnMut(u16, &[u8])) -> Result<(), Refused> {
        let Some(sent) = self.send(batch, false)? else {
            return Ok(());
        };
        loop {
            let received = receive(&self.fd, RECEIVE, RecvFlags::empty())
                .map_err(|errno| sent.refused(sent.last, errno))?;
            for reply in message::replies(&received) {
                match reply {
                    Reply::Entry {
                        sequence,
                        kind,
                        payload,
                    } if sequence == sent.last => {
                        each(kind, payload);
                    }
                    Reply::Ended { sequence, errno } if sequence == sent.last => {
                        return errno.map_or(Ok(()), |errno| Err(sent.refused(sequence, errno)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn send(&self, batch: Batch, acknowledged: bool) -> Result<Option<Sent>, Refused> {
        let Some((bytes, asked)) = batch.finish(self.next.get(), acknowledged) else {
            return Ok(None);
        };
        let first = self.next.get();
        let count = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        let sent = Sent {
            first,
            last: first.wrapping_add(count - 1),
            asked,
        };
        self.next.set(sent.last.wrapping_add(1));
        rustix::net::send(&self.fd, &bytes, SendFlags::empty())
            .map_err(|errno| sent.refused(sent.first, errno))?;
        Ok(Some(sent))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

/// Takes the next piece of news from a socket of [`Socket::netfilter_groups`], without waiting.
///
/// # Errors
/// Linux's own: `AGAIN` when there is none, `NOBUFS` when some were lost.
pub fn news(socket: impl AsFd) -> Result<Vec<u8>, Errno> {
    receive(socket, RECEIVE, RecvFlags::DONTWAIT)
}

/// Receives the next piece of messages from Linux itself.
fn receive(socket: impl AsFd, size: usize, flags: RecvFlags) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; size];
    loop {
        let (length, _, from) = match rustix::net::recvfrom(&socket, &mut buffer[..], flags) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        // Only Linux has port 0: what another process sent is no answer.
        let linux = from
            .and_then(|from| netlink::SocketAddrNetlink::try_from(from).ok())
            .is_some_and(|from| from.pid() == 0);
        if linux {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// What is being waited for.
struct Sent {
    first: u32,
    last: u32,
    asked: Vec<&'static str>,
}

impl Sent {
    /// Whether the request with this number is one of ours.
    fn owns(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) < u32::try_from(self.asked.len()).unwrap_or(u32::MAX)
    }

    fn refused(&self, sequence: u32, errno: Errno) -> Refused {
        let index = sequence.wrapping_sub(self.first) as usize;
        Refused {
            asked: self.asked.get(index).copied().unwrap_or("ask Linux"),
            errno,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refused_request_is_told_by_its_words() {
        let socket = Socket::route().unwrap();
        let mut batch = Batch::default();
        batch.add(
            "find loopback",
            libc::RTM_GETLINK,
            0,
            &route::link_head(1, 0, 0),
        );
        batch.add(
            "find a link",
            libc::RTM_GETLINK,
            0,
            &route::link_head(i32::MAX, 0, 0),
        );
        batch.add(
            "find another",
            libc::RTM_GETLINK,
            0,
            &route::link_head(i32::MAX - 1, 0, 0),
        );
        let refused = socket.run(batch).unwrap_err();
        assert_eq!(
            refused,
            Refused {
                asked: "find a link",
                errno: Errno::NODEV
            }
        );
        // The socket goes on: nothing of the first exchange is taken for the second.
        let mut names = Vec::new();
        socket
            .list(route::list_links(), |kind, payload| {
                names.extend(route::link(kind, payload));
            })
            .unwrap();
        let lo = names.iter().find(|link| link.name == "lo");
        assert_eq!(
            lo.map(|link| (link.index, link.kind.clone())),
            Some((1, None))
        );
    }

    #[test]
    fn an_empty_batch_asks_nothing() {
        assert_eq!(Socket::route().unwrap().run(Batch::default()), Ok(()));
    }
}
