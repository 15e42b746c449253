//! Accepting connections, their time limits, and stopping.
//!
//! Time limits of ours are on what a client owes us: the head of a request, and something to do on a
//! connection that is kept. How long an answer takes is between the client and the sandbox.

mod connection;

use crate::client::Client;
use crate::door::Gateway;
use crate::tls::{Tls, TlsError, is_http2};
use rustix::net::sockopt;
use soulbox_control::Control;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

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
    #[error("cannot listen on {address} (setting {setting})")]
    Listen {
        /// The address.
        address: String,
        /// Where the address comes from.
        setting: &'static str,
        /// Linux's error.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error("cannot listen for TLS")]
    Tls(#[from] TlsError),
}

/// A listening server.
pub struct Server {
    gateway: Gateway,
    listener: TcpListener,
    tls: Option<(TcpListener, Arc<Tls>)>,
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
        let server = &settings.server;
        let listener = bind(&server.listen, "server.listen").await?;
        let (mut tls, mut domain) = (None, None);
        if !server.tls_listen.is_empty() {
            let listener = bind(&server.tls_listen, "server.tls_listen").await?;
            let port = listener.local_addr().map(|address| address.port());
            domain = Some(with_port(&server.domain, port.unwrap_or_default()));
            tls = Some((listener, Arc::new(Tls::open(&settings)?)));
        }
        let gateway = Gateway::new(control, domain);
        Ok(Self {
            stopping: gateway.stopping.clone(),
            gateway,
            listener,
            tls,
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

    /// The domain, and perhaps the port, below which sandboxes have host names for TLS; none without TLS.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.gateway.domain.as_deref()
    }

    /// Serves until `stop` is there; then takes no new connection and no new request, and waits for what is
    /// going on, as long as the settings say.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let renewing = self
            .tls
            .as_ref()
            .map(|(_, tls)| tokio::spawn(Arc::clone(tls).keep()));
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            if let Some((stream, client)) = accepted {
                self.begin(stream, client);
            }
        }
        if let Some(renewing) = renewing {
            renewing.abort();
        }
        drop(self.tls);
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

    async fn accept(&self) -> Option<(TcpStream, Client)> {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let encrypted = async {
            match &self.tls {
                Some((listener, _)) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let (accepted, tls) = tokio::select! {
            accepted = self.listener.accept() => (accepted, false),
            accepted = encrypted => (accepted, true),
        };
        match accepted {
            Ok((stream, address)) => {
                let client = Client {
                    address: address.ip().to_canonical(),
                    tls,
                    place: Some(Arc::new(place)),
                };
                Some((stream, client))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                None
            }
        }
    }

    /// Serves a connection beside all others.
    fn begin(&self, stream: TcpStream, client: Client) {
        let gateway = self.gateway.clone();
        let stopping = self.stopping.subscribe();
        let tls = self.tls.as_ref().filter(|_| client.tls);
        let tls = tls.map(|(_, tls)| Arc::clone(tls));
        prepare(&stream);
        match tls {
            None => drop(tokio::spawn(connection::serve(
                gateway, stream, client, stopping,
            ))),
            Some(tls) => drop(tokio::spawn(async move {
                let Some(stream) = tls.shake(stream).await else {
                    return;
                };
                drop(tls);
                match is_http2(&stream) {
                    true => {
                        let served = connection::serve_http2(gateway, stream, client, stopping);
                        Box::pin(served).await;
                    }
                    false => {
                        Box::pin(connection::serve(gateway, stream, client, stopping)).await;
                    }
                }
            })),
        }
    }
}

async fn bind(address: &str, setting: &'static str) -> Result<TcpListener, ServerError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServerError::Listen {
        address: address.to_owned(),
        setting,
        source,
    })
}

/// A domain as clients need it: they go to port 443 unless another one is named.
fn with_port(domain: &str, port: u16) -> String {
    match domain.contains(':') || port == 443 {
        true => domain.to_owned(),
        false => format!("{domain}:{port}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_told_unless_clients_know_it() {
        assert_eq!(with_port("sandbox.test", 8443), "sandbox.test:8443");
        assert_eq!(with_port("sandbox.test", 443), "sandbox.test");
        assert_eq!(with_port("sandbox.test:444", 8443), "sandbox.test:444");
    }
}
