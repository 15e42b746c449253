//! `SendInput`, `StreamInput`, `CloseStdin`.

use crate::limits;
use crate::process::record::{Channel, Input, Process};
use crate::rpc::{Call, frame_error, parse};
use crate::state::Agent;
use hyper::body::Incoming;
use rustix::io::Errno;
use soulbox_wire::connect::{Code, FrameReader, RpcError};
use soulbox_wire::envd::process::{
    Empty, ProcessInput, SelectRequest, SendInputRequest, StreamInputRequest,
};
use std::rc::Rc;

/// Writes one piece of input.
pub(crate) async fn send(agent: &Agent, request: SendInputRequest) -> Result<Empty, RpcError> {
    let process = agent.processes.find(request.process.as_ref())?;
    write(&process, request.input).await?;
    Ok(Empty {})
}

/// Writes pieces of input as they come. The first message names the process.
pub(crate) async fn stream(agent: &Agent, call: Call, mut body: Incoming) -> Result<(), RpcError> {
    let mut reader = FrameReader::new(limits::INPUT_MESSAGE);
    let mut process = None;
    let copy = async {
        while let Some(piece) = next_input(&mut body).await? {
            reader.push(&piece);
            while let Some(frame) = reader.next_frame().map_err(|error| frame_error(&error))? {
                if frame.end {
                    return Ok(());
                }
                take_message(agent, &mut process, parse(&frame.payload)?).await?;
            }
        }
        reader.finish().map_err(|error| frame_error(&error))
    };
    let Some(timeout) = call.timeout else {
        return copy.await;
    };
    tokio::time::timeout(timeout, copy)
        .await
        .map_err(|_| RpcError::new(Code::DeadlineExceeded, "time limit of the stream passed"))?
}

/// The next piece of a stream that may be silent for as long as its user thinks.
async fn next_input(body: &mut Incoming) -> Result<Option<bytes::Bytes>, RpcError> {
    use http_body_util::BodyExt as _;
    loop {
        let frame = body.frame().await.transpose();
        let frame = frame.map_err(crate::request::BodyError::from)?;
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
}

async fn take_message(
    agent: &Agent,
    process: &mut Option<Rc<Process>>,
    message: StreamInputRequest,
) -> Result<(), RpcError> {
    let invalid = |text: &str| Err(RpcError::new(Code::InvalidArgument, text));
    match (message, process) {
        (
            StreamInputRequest {
                start: Some(start),
                data: None,
                keepalive: None,
            },
            known,
        ) => {
            if known.is_some() {
                return invalid("the process was named already");
            }
            *known = Some(agent.processes.find(start.process.as_ref())?);
            Ok(())
        }
        (
            StreamInputRequest {
                start: None,
                data: Some(data),
                keepalive: None,
            },
            Some(process),
        ) => write(process, data.input).await,
        (
            StreamInputRequest {
                start: None,
                data: None,
                keepalive: Some(Empty {}),
            },
            _,
        ) => Ok(()),
        (
            StreamInputRequest {
                start: None,
                data: Some(_),
                keepalive: None,
            },
            None,
        ) => invalid("the first message must name the process"),
        _ => invalid("a message must be one of start, data and keepalive"),
    }
}

/// Closes a process's standard input. Doing so again changes nothing.
pub(crate) fn close(agent: &Agent, request: &SelectRequest) -> Result<Empty, RpcError> {
    let process = agent.processes.find(request.process.as_ref())?;
    match &process.input {
        Input::Pipe(pipe) => {
            pipe.borrow_mut().take();
            process.input_closed.notify_waiters();
            Ok(Empty {})
        }
        Input::None => Ok(Empty {}),
        Input::Terminal(_) => {
            let message = "a terminal's input cannot be closed, send ^D (0x04) instead";
            Err(RpcError::new(Code::Unknown, message))
        }
    }
}

/// Writes input to where it says. Waits for as long as the process does not read.
async fn write(process: &Process, input: Option<ProcessInput>) -> Result<(), RpcError> {
    let (bytes, channel) = match (input, &process.input) {
        (
            Some(ProcessInput {
                stdin: Some(bytes),
                pty: None,
            }),
            Input::Pipe(pipe),
        ) => {
            let closed = || internal(process, "standard input is closed");
            (bytes, pipe.borrow().clone().ok_or_else(closed)?)
        }
        (
            Some(ProcessInput {
                stdin: None,
                pty: Some(bytes),
            }),
            Input::Terminal(channel),
        ) => (bytes, Rc::clone(channel)),
        (
            Some(ProcessInput {
                stdin: Some(_),
                pty: None,
            }),
            _,
        ) => {
            return Err(internal(process, "standard input is not a pipe"));
        }
        (
            Some(ProcessInput {
                stdin: None,
                pty: Some(_),
            }),
            _,
        ) => {
            return Err(internal(process, "there is no terminal"));
        }
        _ => {
            let message = "input must be one of stdin and pty";
            return Err(RpcError::new(Code::InvalidArgument, message));
        }
    };
    let _turn = process.input_turn.lock().await;
    tokio::select! {
        biased;
        () = process.input_closed.notified() => Err(internal(process, "standard input is closed")),
        written = write_all(&channel, &bytes) => {
            written.map_err(|errno| internal(process, &format!("cannot write: {errno}")))
        }
    }
}

fn internal(process: &Process, what: &str) -> RpcError {
    RpcError::new(
        Code::Internal,
        format!("process {}: {what}", process.number()),
    )
}

pub(crate) async fn write_all(channel: &Channel, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(channel.get_ref(), bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut guard = channel.writable().await.map_err(|_| Errno::IO)?;
                // Only if it is still full: it may have been emptied since the write above.
                if let Ok(Ok(written)) = guard.try_io(|fd| {
                    rustix::io::write(fd.get_ref(), bytes).map_err(std::io::Error::from)
                }) {
                    bytes = bytes.get(written..).unwrap_or_default();
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
