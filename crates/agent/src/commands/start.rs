//! Starting a recorded command.

use crate::commands::kept::Recorded;
use crate::commands::log::Log;
use crate::process::pump;
use crate::process::spawn::Wiring;
use crate::process::start::{Launch, launch};
use crate::state::Agent;
use rustix::fd::OwnedFd;
use soulbox_wire::commands::Start;
use soulbox_wire::connect::{Code, RpcError};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Starts a command whose output goes into `file`. An id that is known is refused, whatever became
/// of it.
pub(crate) fn start(agent: &Rc<Agent>, start: Start, file: OwnedFd) -> Result<u32, RpcError> {
    if agent.commands.contains(&start.id) {
        let message = format!("command {} was started already", start.id);
        return Err(RpcError::new(Code::AlreadyExists, message));
    }
    let log = Log::new(file).map_err(|errno| {
        let message = format!("cannot use the file for output: {errno}");
        RpcError::new(Code::Internal, message)
    })?;
    let deadline = start
        .timeout_ms
        .and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
    let wiring = match start.pty {
        Some(size) => Wiring::Terminal(size),
        None => Wiring::Pipes { stdin: start.stdin },
    };
    let recorded = Recorded::new(start.id.clone(), log, start.attended);
    let launched = launch(
        agent,
        Launch {
            config: start.process,
            user: start.user.as_deref(),
            wiring,
            tag: Some(start.id),
            recorded: Some(Rc::clone(&recorded)),
        },
    );
    let (process, outputs) = launched?;
    let pid = process.number();
    recorded.pid.set(pid);
    agent.commands.insert(recorded);
    let pump = pump::run(Rc::clone(agent), process, outputs, deadline);
    tokio::task::spawn_local(pump);
    Ok(pid)
}
