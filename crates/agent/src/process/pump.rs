//! Carries a process's output to its readers until it is over, then tells its end.

use crate::limits;
use crate::process::output::{Chunk, Outputs};
use crate::process::record::Process;
use crate::rpc::message_frame;
use crate::state::Agent;
use bytes::Bytes;
use soulbox_wire::connect::{Code, RpcError, end_frame};
use soulbox_wire::envd::process::{EventResponse, ProcessEvent};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::{Instant, sleep_until, timeout};

/// Runs until the process has ended and its output is over. At `deadline` the process and its
/// session are killed.
pub(crate) async fn run(
    agent: Rc<Agent>,
    process: Rc<Process>,
    outputs: Outputs,
    deadline: Option<Instant>,
) {
    // By now the answer to the start is on its way.
    agent.oom_score.lower();
    let mut carried = pin!(carry(&agent, &process, outputs));
    if let Some(deadline) = deadline {
        tokio::select! {
            biased;
            () = &mut carried => return finish(&agent, &process),
            () = sleep_until(deadline) => process.expire(),
        }
    }
    carried.await;
    finish(&agent, &process);
}

/// Carries output until there is no more of it to carry.
async fn carry(agent: &Agent, process: &Process, mut outputs: Outputs) {
    let attended = process.recorded.as_ref();
    if attended.is_some_and(|command| command.attended) {
        let _ = timeout(limits::ATTENDANCE, first_reader(process)).await;
    }
    // Checked before every chunk: whoever still holds the output of a killed process may write
    // for ever.
    while !(process.ended() && process.cut.get()) {
        let wanted = process.subscribers() > 0;
        let mut changed = pin!(process.changed.notified());
        let chunk = poll_fn(
            |context| match outputs.poll_chunk(agent, process, wanted, context) {
                Poll::Ready(chunk) if !matches!(chunk, Chunk::Over) || process.ended() => {
                    Poll::Ready(Some(chunk))
                }
                _ => changed.as_mut().poll(context).map(|()| None),
            },
        );
        match chunk.await {
            Some(Chunk::Data { frame, .. }) => publish(process, frame).await,
            Some(Chunk::Over) => return,
            Some(Chunk::Empty) | None => {}
        }
    }
    let wanted = process.subscribers() > 0;
    for frame in outputs.drain(agent, process, wanted, limits::OUTPUT_AFTER_KILL) {
        publish(process, Some(frame)).await;
    }
}

/// Waits until somebody reads, or nobody needs to any more.
async fn first_reader(process: &Process) {
    while process.subscribers() == 0 && !process.cut.get() {
        process.changed.notified().await;
    }
}

/// Hands a chunk to every reader and waits until each can take another one: a slow reader stops
/// the reading of the pipe, and so at last the process.
async fn publish(process: &Process, frame: Option<Bytes>) {
    if let Some(frame) = frame {
        process.publish(&frame);
    }
    while !process.has_room() {
        process.room.notified().await;
    }
}

fn finish(agent: &Agent, process: &Rc<Process>) {
    let Some(end) = process.end.get() else { return };
    let event = ProcessEvent {
        end: Some(end.event()),
        ..ProcessEvent::default()
    };
    let mut last = message_frame(&EventResponse { event }).to_vec();
    last.extend(end_frame(None));
    let last = Bytes::from(last);
    let error = RpcError::new(Code::DeadlineExceeded, "time limit of the process passed");
    process.finish(&last, &end_frame(Some(&error)).into());
    agent.processes.finish(process, last);
    if let Some(command) = &process.recorded {
        agent.commands.ended(command, end, process.expired.get());
    }
}
