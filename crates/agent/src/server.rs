//! Accepting connections and speaking HTTP/1.1 on them.
//!
//! There is no time limit for heads and idle connections here: only the host can open the
//! socket, and it keeps its own. So nothing wakes an idle agent.

use crate::commands::channel;
use crate::dial;
use crate::limits;
use crate::route;
use crate::state::Agent;
use crate::supply;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// How long accepting rests after Linux refused to, for want of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Accepts connections for ever.
pub(crate) async fn run(agent: Rc<Agent>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((connection, _)) => {
                let agent = Rc::clone(&agent);
                tokio::task::spawn_local(async move {
                    serve(agent, connection).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// Serves one connection until it is closed. How it ends is the other side's affair.
async fn serve(agent: Rc<Agent>, connection: UnixStream) {
    if dial::is_wanted(&connection).await {
        return dial::serve(&connection).await;
    }
    if channel::is_wanted(&connection).await {
        return channel::serve(agent, connection).await;
    }
    if supply::is_wanted(&connection).await {
        return supply::serve(agent, connection).await;
    }
    let service = service_fn(|request| {
        let agent = Rc::clone(&agent);
        async move { Ok::<_, Infallible>(route::serve(&agent, request).await) }
    });
    let _ = protocol()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// HTTP/1.1 within the agent's limits.
pub(crate) fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .auto_date_header(false)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::CONNECTION_BUFFER);
    protocol
}
