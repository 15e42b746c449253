//! News of nf_tables: somebody flushed all rules, or came with a chain that drops.

use crate::native::step::{Step, StepError};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use soulbox_syscall::netlink::message::{Reply, replies};
use soulbox_syscall::netlink::netfilter::{News, TABLES_GROUP};
use soulbox_syscall::netlink::{self, Socket};

/// A descriptor that is readable when the rules of the host have changed.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
}

impl Watch {
    /// Begins to listen for changes in the caller's network namespace.
    ///
    /// # Errors
    /// Linux's own error, named.
    pub fn open() -> Result<Self, StepError> {
        let socket = Socket::netfilter_groups(TABLES_GROUP)
            .step(|| "listen for changed firewall rules".to_owned())?;
        Ok(Self {
            socket: socket.into(),
        })
    }

    /// Takes all news without waiting; true when there is one that [`super::Lease::repair`]
    /// should look after. Also when news were lost.
    pub fn changed(&self) -> bool {
        let mut changed = false;
        loop {
            match netlink::news(&self.socket) {
                Ok(received) => changed |= replies(&received).any(|reply| concerns_us(&reply)),
                Err(Errno::NOBUFS) => changed = true,
                Err(_) => return changed,
            }
        }
    }
}

fn concerns_us(reply: &Reply<'_>) -> bool {
    matches!(reply, Reply::Entry { kind, .. } if netlink::netfilter::news(*kind) != News::Other)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
