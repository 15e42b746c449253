//! Accepting connections, their time limits, and stopping.
//!
//! Time limits of ours are on what a client owes us: the head of a request, and something to do on a
//! connection that is kept. How long an answer takes is between the client and the sandbox.

mod connection;

use crate::client::Client;
use crate::door::Gateway;
use rustix::net::sockopt;
use soulbox_control::Control;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long accepting rests after Linux refused to, for want of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long nothing is heard of a client before Linux asks whether it is still there, and how often it asks
/// four times before the connection is given up.
const SILENCE: Duration = Duration::from_secs(60);
const ASKED: Duration = Duration::from_secs(15);

/// A server that cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (setting server.listen)")]
    Listen {
        /// The address.
        address: String,
        /// Linux's error.
        #[source]
        source: io::Error,
    },
}

/// A listening server.
pub struct Server {
    gateway: Gateway,
    listener: TcpListener,
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Listens where the settings say. Nothing is answered before [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn listen(control: Arc<Control>) -> Result<Self, ServerError> {
        let settings = Arc::clone(control.settings());
        let address = settings.server.listen.clone();
        let listener = TcpListener::bind(&address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        let gateway = Gateway::new(control, None);
        Ok(Self {
            stopping: gateway.stopping.clone(),
            gateway,
            listener,
            places: Arc::new(Semaphore::new(settings.server.connections as usize)),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Linux's, in which case it does not listen any more.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is there; then takes no new connection and no new request, and waits for what is
    /// going on, as long as the settings say.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            if let Some((stream, address, place)) = accepted {
                let gateway = self.gateway.clone();
                let stopping = self.stopping.subscribe();
                let client = Client {
                    address: address.ip().to_canonical(),
                    tls: false,
                    place: Some(Arc::new(place)),
                };
                tokio::spawn(async move {
                    prepare(&stream);
                    connection::serve(gateway, stream, client, stopping).await;
                });
            }
        }
        drop(self.listener);
        self.stopping.send_replace(true);
        let all = self.gateway.control.settings().server.connections;
        let limit = self.gateway.control.settings().server.drain;
        let quiet = self.places.acquire_many(all);
        if tokio::time::timeout(limit, quiet).await.is_err() {
            tracing::warn!(
                ?limit,
                "connections are cut that did not end (setting server.drain)"
            );
        }
    }

    async fn accept(&self) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, address)) => Some((stream, address, place)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                None
            }
        }
    }
}

/// Sends small answers at once, and finds out when a client has vanished.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, SILENCE);
    let _ = sockopt::set_tcp_keepintvl(stream, ASKED);
    let _ = sockopt::set_tcp_keepcnt(stream, 4);
}
