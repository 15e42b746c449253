//! `WatchDir`: a stream of what happens.

use crate::reply::Body;
use crate::rpc::{Call, message_frame};
use crate::state::Agent;
use crate::stream::{FrameStream, Source};
use crate::watch::kept::Place;
use crate::watch::watcher::Watcher;
use bytes::Bytes;
use soulbox_wire::connect::RpcError;
use soulbox_wire::envd::filesystem::{WatchDirResponse, WatchRequest};
use soulbox_wire::envd::process::Empty;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Watches a directory for as long as the stream is read.
pub(crate) fn watch_dir(
    agent: &Rc<Agent>,
    call: &Call,
    request: &WatchRequest,
) -> Result<Body, RpcError> {
    let place = agent.watchers.take_place()?;
    let watcher = Watcher::new(agent, call, request)?;
    let source = WatchEvents {
        agent: Rc::clone(agent),
        watcher,
        started: false,
        _place: place,
    };
    let deadline = call.timeout.map(|timeout| Instant::now() + timeout);
    Ok(Body::stream(FrameStream::new(
        source,
        call.keepalive,
        deadline,
    )))
}

/// The events of one watcher. They are read when the client takes them, so a slow client fills
/// Linux's queue and not the agent's memory.
struct WatchEvents {
    agent: Rc<Agent>,
    watcher: Watcher,
    started: bool,
    _place: Place,
}

impl Source for WatchEvents {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.started {
            self.started = true;
            let start = WatchDirResponse {
                start: Some(Empty {}),
                ..WatchDirResponse::default()
            };
            return Poll::Ready(Some(message_frame(&start)));
        }
        loop {
            if let Some(event) = self.watcher.next_event() {
                let filesystem = Some(event);
                let message = WatchDirResponse {
                    filesystem,
                    ..WatchDirResponse::default()
                };
                return Poll::Ready(Some(message_frame(&message)));
            }
            match self.watcher.descriptor().poll_read_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
            }
            self.watcher.drain(&mut self.agent.accounts.names());
        }
    }

    fn is_over(&self) -> bool {
        false
    }

    fn keepalive(&self) -> Bytes {
        let message = WatchDirResponse {
            keepalive: Some(Empty {}),
            ..WatchDirResponse::default()
        };
        message_frame(&message)
    }
}
