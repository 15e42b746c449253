//! `Start`.

use crate::account::Account;
use crate::commands::kept::Recorded;
use crate::files::save::Saving;
use crate::files::target;
use crate::limits;
use crate::process::connect::start_frame;
use crate::process::enter;
use crate::process::output::Outputs;
use crate::process::pump;
use crate::process::record::Process;
use crate::process::spawn::{Spawned, Wiring, spawn};
use crate::process::subscription::{Events, Subscription};
use crate::ready;
use crate::reply::{Body, Failure};
use crate::rpc::Call;
use crate::state::Agent;
use crate::stream::FrameStream;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::process::{ProcessConfig, PtySize, StartFile, StartRequest};
use std::rc::Rc;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// The size of a terminal whose request names none.
const TERMINAL_SIZE: PtySize = PtySize { cols: 80, rows: 24 };

/// A process that is to be started.
pub(crate) struct Launch<'a> {
    pub(crate) config: ProcessConfig,
    /// Who runs it; the default user if nobody is named.
    pub(crate) user: Option<&'a str>,
    pub(crate) wiring: Wiring,
    pub(crate) tag: Option<String>,
    /// The recorded command that it is.
    pub(crate) recorded: Option<Rc<Recorded>>,
}

/// Starts a process. Its output waits for a pump.
pub(crate) fn launch(
    agent: &Agent,
    launch: Launch<'_>,
) -> Result<(Rc<Process>, Outputs), RpcError> {
    if !agent.processes.has_room() {
        let message = format!("{} processes are running already", limits::PROCESSES);
        return Err(RpcError::new(Code::ResourceExhausted, message));
    }
    let account = agent.account(launch.user)?;
    let spawned = spawn(agent, &account, &launch.config, launch.wiring);
    let spawned = spawned.inspect_err(|_| agent.oom_score.lower())?;
    let process = Rc::new(Process::new(
        spawned.pid,
        launch.config,
        launch.tag,
        spawned.input,
        launch.recorded,
    ));
    agent.processes.insert(Rc::clone(&process));
    Ok((process, spawned.outputs))
}

/// The same, by an interpreter that is loaded already where there is one.
async fn launch_forked<'a>(
    agent: &Agent,
    launch: Launch<'a>,
) -> Result<(Rc<Process>, Outputs), Launch<'a>> {
    // The pipes of a terminal's session are made for a program that is started.
    if !enter::is_script(&launch.config) || matches!(launch.wiring, Wiring::Terminal(_)) {
        return Err(launch);
    }
    let Ok(account) = agent.account(launch.user) else {
        return Err(launch);
    };
    if !agent.processes.has_room() {
        return Err(launch);
    }
    let entered = match ready::is_program(&launch.config.cmd) {
        true => {
            let entered = ready::enter(agent, &account, &launch.config, launch.wiring).await;
            entered.map(|(spawned, said)| (spawned, Said::Waiting(said)))
        }
        false => enter_copy(agent, &account, &launch).await,
    };
    // Nothing of it has run when there is none.
    let Some((spawned, said)) = entered else {
        return Err(launch);
    };
    let process = Rc::new(Process::new(
        spawned.pid,
        launch.config,
        launch.tag,
        spawned.input,
        launch.recorded,
    ));
    agent.processes.insert(Rc::clone(&process));
    let ended = Rc::clone(&process);
    match said {
        Said::Copy(control) => tokio::task::spawn_local(enter::hear_end(ended, control)),
        Said::Waiting(pipe) => tokio::task::spawn_local(ready::hear_end(ended, pipe)),
    };
    Ok((process, spawned.outputs))
}

/// Writes what comes with a start. Why one cannot be written is not told here: whoever sends files
/// along sends them again the usual way.
fn write_files(agent: &Agent, user: Option<&str>, files: &[StartFile]) -> Result<(), RpcError> {
    if files.is_empty() {
        return Ok(());
    }
    let account = agent.account(user)?;
    for file in files {
        write_file(agent, &account, file)
            .map_err(|failure| RpcError::new(Code::Aborted, failure.message))?;
    }
    agent.watchers.settle(agent);
    Ok(())
}

fn write_file(agent: &Agent, account: &Account, file: &StartFile) -> Result<(), Failure> {
    let path = target::resolve(agent, account, &file.path)?;
    let mut saving = Saving::begin(&path, account)?;
    agent.watchers.settle(agent);
    saving.write(&file.data)?;
    if file.executable {
        saving.mark_executable()?;
    }
    saving.finish()
}

/// Where an interpreter says that its script is over.
enum Said {
    /// A copy of the host's zygote.
    Copy(UnixStream),
    /// One that waited.
    Waiting(Receiver),
}

async fn enter_copy(
    agent: &Agent,
    account: &Account,
    launch: &Launch<'_>,
) -> Option<(Spawned, Said)> {
    let copy = agent.supply.take(account).await?;
    let entered = enter::enter(agent, account, &launch.config, launch.wiring, copy).await;
    let (spawned, control) = entered.ok()?;
    Some((spawned, Said::Copy(control)))
}

/// Starts a process and follows it. The call's time limit is the process's.
pub(crate) async fn start(
    agent: &Rc<Agent>,
    call: &Call,
    request: StartRequest,
) -> Result<Body, RpcError> {
    let deadline = call.timeout.map(|timeout| Instant::now() + timeout);
    let Some(config) = request.process else {
        return Err(RpcError::new(Code::InvalidArgument, "process is missing"));
    };
    let wiring = match request.pty {
        Some(pty) => Wiring::Terminal(pty.size.unwrap_or(TERMINAL_SIZE)),
        None => Wiring::Pipes {
            stdin: request.stdin.unwrap_or(true),
        },
    };
    write_files(agent, call.user.as_deref(), &request.files)?;
    let order = Launch {
        config,
        user: call.user.as_deref(),
        wiring,
        tag: request.tag,
        recorded: None,
    };
    let launched = match call.forked {
        true => launch_forked(agent, order).await,
        false => Err(order),
    };
    let (process, outputs) = match launched {
        Ok(launched) => launched,
        Err(order) => launch(agent, order)?,
    };
    let first = start_frame(process.number());
    let subscription = Subscription::new(first, true, Rc::clone(&process.room));
    process.subscribe(Rc::clone(&subscription));
    let pump = pump::run(Rc::clone(agent), process, outputs, deadline);
    tokio::task::spawn_local(pump);
    Ok(Body::stream(FrameStream::new(
        Events(subscription),
        call.keepalive,
        None,
    )))
}
