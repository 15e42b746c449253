//! `Update`: a terminal's new size.

use crate::process::record::Input;
use crate::state::Agent;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{Empty, PtySize, UpdateRequest};

/// Resizes the terminal of a process.
pub(crate) fn update(agent: &Agent, request: &UpdateRequest) -> Result<Empty, RpcError> {
    let process = agent.processes.find(request.process.as_ref())?;
    let Some(size) = request.pty.and_then(|pty| pty.size) else {
        return Ok(Empty {});
    };
    let Input::Terminal(channel) = &process.input else {
        let message = format!("process {} has no terminal", process.number());
        return Err(RpcError::new(Code::Internal, message));
    };
    let (columns, rows) = terminal_size(size)?;
    soulbox_syscall::terminal::resize(channel.get_ref(), columns, rows).map_err(|errno| {
        let message = format!(
            "cannot resize the terminal of {}: {errno}",
            process.number()
        );
        RpcError::new(Code::Internal, message)
    })?;
    Ok(Empty {})
}

/// Linux counts a terminal's columns and rows with 16 bits.
pub(crate) fn terminal_size(size: PtySize) -> Result<(u16, u16), RpcError> {
    match (u16::try_from(size.cols), u16::try_from(size.rows)) {
        (Ok(columns), Ok(rows)) => Ok((columns, rows)),
        _ => Err(RpcError::new(
            Code::InvalidArgument,
            "terminal size is beyond 65535",
        )),
    }
}
