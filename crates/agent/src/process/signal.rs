//! `SendSignal`, and the killing of whole sessions.

use crate::state::Agent;
use rustix::process::{Pid, Signal};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{self as wire, Empty, SendSignalRequest};

/// Sends a signal to one process, not to its group.
pub(crate) fn send(agent: &Agent, request: SendSignalRequest) -> Result<Empty, RpcError> {
    let process = agent.processes.find(request.process.as_ref())?;
    let signal = match request.signal {
        wire::Signal::Kill => Signal::KILL,
        wire::Signal::Term => Signal::TERM,
        wire::Signal::Unspecified => {
            return Err(RpcError::new(
                Code::Unimplemented,
                "signal is not supported",
            ));
        }
    };
    // Others may hold its output open for ever: it counts as over when the process has ended.
    process.cut.set(true);
    if !process.signal(signal) {
        let message = format!("process with pid {} not found", process.number());
        return Err(RpcError::new(Code::NotFound, message));
    }
    Ok(Empty {})
}

/// Kills the group of `leader`, and what else is in its session: a shell with job control gives
/// every job a group of its own.
pub(crate) fn kill_session(leader: Pid) {
    let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Some(pid) = Pid::from_raw(pid) else {
            continue;
        };
        if rustix::process::getsid(Some(pid)) == Ok(leader) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}
