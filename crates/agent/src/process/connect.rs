//! `Connect`: the output of a process that somebody else started, from now on.

use crate::limits;
use crate::process::subscription::{Events, Subscription};
use crate::process::table::Selected;
use crate::reply::Body;
use crate::rpc::{Call, message_frame};
use crate::state::Agent;
use crate::stream::FrameStream;
use bytes::Bytes;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{EventResponse, ProcessEvent, SelectRequest, StartEvent};
use std::rc::Rc;
use tokio::time::Instant;

/// Follows a process, or tells the end of one that just ended.
pub(crate) fn connect(
    agent: &Agent,
    call: &Call,
    request: &SelectRequest,
) -> Result<Body, RpcError> {
    let process = match agent.processes.select(request.process.as_ref())? {
        Selected::Live(process) => process,
        Selected::Ended(ended) => {
            let mut frames = start_frame(ended.number).to_vec();
            frames.extend_from_slice(&ended.last);
            return Ok(frames.into());
        }
    };
    if process.subscribers() >= limits::SUBSCRIBERS {
        let message = format!("process {} has too many readers", process.number());
        return Err(RpcError::new(Code::ResourceExhausted, message));
    }
    let first = start_frame(process.number());
    let subscription = Subscription::new(first, false, Rc::clone(&process.room));
    process.subscribe(Rc::clone(&subscription));
    process.changed.notify_one();
    let deadline = call.timeout.map(|timeout| Instant::now() + timeout);
    Ok(Body::stream(FrameStream::new(
        Events(subscription),
        call.keepalive,
        deadline,
    )))
}

/// The frame that every stream of events begins with.
pub(crate) fn start_frame(pid: u32) -> Bytes {
    let event = ProcessEvent {
        start: Some(StartEvent { pid }),
        ..ProcessEvent::default()
    };
    message_frame(&EventResponse { event })
}
