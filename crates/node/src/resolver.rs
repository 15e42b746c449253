//! Names for sandboxes: a forwarder that answers inside each sandbox's network namespace.
//!
//! The spawner binds the sockets (127.0.0.53, port 53) while it makes the namespace; the engine
//! serves them from the host's side. A question is read strictly, written anew under a number and
//! from a port of its own, and asked of the host's name servers; the answer is checked to belong
//! to the question and passed on unread. Nothing is kept: the host's servers have caches, and an
//! answer must not travel from one sandbox to another.
//!
//! A name may well resolve to an address of the block list (a private name of the operator's, or
//! one that is made to fool somebody): that leads nowhere, because the walls look at each packet.
//!
//! | Part | File |
//! |---|---|
//! | reading and writing messages | [`question`] |
//! | which servers are asked | [`upstream`] |
//! | asking one of them | `exchange` |
//! | the sockets of one sandbox, and its limits | `serve` |

mod exchange;
pub mod question;
mod serve;
pub mod upstream;

use rustix::fd::OwnedFd;
use serve::Guest;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use upstream::Upstreams;

/// Questions of all sandboxes together that wait for an answer, beyond the ones that each
/// sandbox may always have. Each takes a descriptor.
const SHARED: usize = 512;

/// Sockets that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the {which} socket of a sandbox's resolver")]
pub struct ServeError {
    which: &'static str,
    #[source]
    source: std::io::Error,
}

/// Answers the questions of all sandboxes of an engine.
#[derive(Debug, Clone)]
pub struct Resolver {
    upstreams: Arc<Upstreams>,
    shared: Arc<Semaphore>,
}

/// The service of one sandbox. It ends, and its sockets are closed, when this is dropped.
#[derive(Debug)]
pub struct Service {
    tasks: [AbortHandle; 2],
}

impl Resolver {
    /// A resolver that asks `upstreams`.
    pub fn new(upstreams: Upstreams) -> Self {
        Self {
            upstreams: Arc::new(upstreams),
            shared: Arc::new(Semaphore::new(SHARED)),
        }
    }

    /// Begins to answer on a sandbox's sockets: non-blocking, the first one bound for datagrams,
    /// the second one listening. To be called within a tokio runtime.
    ///
    /// # Errors
    /// A descriptor is no such socket.
    pub fn serve(&self, udp: OwnedFd, tcp: OwnedFd) -> Result<Service, ServeError> {
        let failed = |which| move |source| ServeError { which, source };
        let udp = UdpSocket::from_std(udp.into()).map_err(failed("UDP"))?;
        let tcp = TcpListener::from_std(tcp.into()).map_err(failed("TCP"))?;
        let guest = Arc::new(Guest::new(self.clone()));
        let datagrams = tokio::spawn(serve::datagrams(Arc::clone(&guest), udp));
        let connections = tokio::spawn(serve::connections(guest, tcp));
        Ok(Service {
            tasks: [datagrams.abort_handle(), connections.abort_handle()],
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
