//! Who sends a request.

use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The other end of a connection: an extension of each request that comes over it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Its address, as Linux tells it.
    pub(crate) address: IpAddr,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// The connection's place among all, held by what goes on with it after HTTP.
    #[expect(dead_code, reason = "it is held, not read")]
    pub(crate) place: Option<Arc<OwnedSemaphorePermit>>,
}
