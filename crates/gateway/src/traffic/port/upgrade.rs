//! What follows a change of protocol, such as to WebSocket: bytes both ways, until both sides have ended.

use super::link::Link;
use crate::client::Client;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use soulbox_runtime::agent_client::SandboxStream;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of each direction that are in our hands at once. Small, because most of these connections wait
/// most of the time.
const BUFFER: usize = 8 * 1024;

/// Joins a client that speaks no HTTP any more with a connection to a port.
pub(super) async fn bridge(
    mut server: SandboxStream,
    theirs: OnUpgrade,
    client: Option<Client>,
    place: OwnedSemaphorePermit,
) {
    // The client may be gone before the answer reached it.
    if let Ok(theirs) = theirs.await {
        let mut theirs = TokioIo::new(theirs);
        let _ = copy_bidirectional_with_sizes(&mut theirs, &mut server, BUFFER, BUFFER).await;
    }
    drop((client, place));
}

/// Joins the two sides. It keeps both connections' places until they end.
pub(super) async fn join(link: Link, theirs: OnUpgrade, client: Client) {
    let (mut server, early, _place) = link.into_stream().await;
    // The client is gone before the answer reached it.
    let Ok(theirs) = theirs.await else {
        return;
    };
    let mut theirs = TokioIo::new(theirs);
    if theirs.write_all(&early).await.is_ok() {
        // How they end is their affair; whichever fails, both are closed.
        let _ = copy_bidirectional_with_sizes(&mut theirs, &mut server, BUFFER, BUFFER).await;
    }
    drop(client);
}
