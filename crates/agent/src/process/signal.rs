//! `SendSignal`, and the killing of whole sessions.

use crate::state::Agent;
use rustix::process::{Pid, Signal};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{self as wire, Empty, SendSignalRequest};
use std::ffi::OsStr;

/// Sends a signal to one process, not to its group.
pub(crate) fn send(agent: &Agent, request: &SendSignalRequest) -> Result<Empty, RpcError> {
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

/// Sends any signal to the process that is tagged so, or to its whole group.
pub(crate) fn send_to(agent: &Agent, tag: &str, number: i32, group: bool) -> Result<(), RpcError> {
    let selector = wire::ProcessSelector::tag(tag);
    let process = agent.processes.find(Some(&selector))?;
    let signal = Signal::from_named_raw(number).ok_or_else(|| {
        let message = format!("signal {number} is not supported");
        RpcError::new(Code::InvalidArgument, message)
    })?;
    if signal == Signal::KILL {
        process.cut.set(true);
    }
    let sent = match group {
        true => rustix::process::kill_process_group(process.pid, signal).is_ok(),
        false => process.signal(signal),
    };
    match sent {
        true => Ok(()),
        false => Err(RpcError::new(
            Code::NotFound,
            format!("command {tag} has ended"),
        )),
    }
}

/// Kills the group of `leader`, and what else is in its session: a shell with job control gives
/// every job a group of its own.
pub(crate) fn kill_session(leader: Pid) {
    let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    let leader = leader.as_raw_nonzero().get();
    for entry in entries.flatten() {
        let Some(pid) = process_id(&entry.file_name()) else {
            continue;
        };
        let stat = std::fs::read(entry.path().join("stat")).unwrap_or_default();
        if session_of(&stat) == Some(leader) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn process_id(name: &OsStr) -> Option<Pid> {
    let number: u32 = name.to_str()?.parse().ok()?;
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// The session in a process's `stat`: the sixth field, the fourth after the name, which stands in
/// parentheses and may hold anything, also what is no text.
pub(crate) fn session_of(stat: &[u8]) -> Option<i32> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let after_name = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    after_name.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_whatever_the_name() {
        for name in [&b"a) b (c)"[..], b"\xff", b"a) S 1 16 14 0", b")\n"] {
            let stat = [b"17 (", name, b") S 1 16 15 0 -1"].concat();
            assert_eq!(session_of(&stat), Some(15), "{name:?}");
        }
        assert_eq!(session_of(b"17 (a) S 1 16"), None);
        assert_eq!(session_of(b""), None);
        assert_eq!(process_id(OsStr::new("12")), Pid::from_raw(12));
        for wrong in ["-1", "0", "self", "4294967295", "99999999999"] {
            assert_eq!(process_id(OsStr::new(wrong)), None, "{wrong}");
        }
    }
}
