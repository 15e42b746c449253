//! Descriptors that the runtime watches.

use rustix::fd::OwnedFd;
use std::io;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch `fd` until the value is dropped. `fd` must be non-blocking.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // Deprecated because it trusts its caller never to exchange the descriptor inside, which no
    // code of this crate does: an `OwnedFd` keeps its number, and `get_mut` is not used.
    #[allow(deprecated)]
    AsyncFd::new(fd)
}
