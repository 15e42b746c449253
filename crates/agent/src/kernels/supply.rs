//! Where a context's process comes from: one that waits, or a new one.

use crate::account::Account;
use crate::kernels::process::{KernelProcess, LOG};
use crate::kernels::spec::Spec;
use crate::limits;
use crate::process::spawn::{c_string, candidates, identity, own_variables};
use crate::state::Agent;
use crate::supply::Forked;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::process::{Signal, Uid};
use soulbox_syscall::process::{Program, StartError, start};
use soulbox_wire::connect::RpcError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use tokio::io::AsyncWriteExt as _;

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupplyError {
    #[error("{0}")]
    Refused(#[from] RpcError),
    #[error("cannot start {0}: {1}")]
    Start(String, StartError),
    #[error("cannot make what connects it with the agent: {0}")]
    Resource(#[from] io::Error),
}

/// Processes that wait for a context, one of a kernel at the most. They know no context's
/// environment.
#[derive(Default)]
pub(crate) struct Spares {
    waiting: RefCell<BTreeMap<String, (Uid, KernelProcess)>>,
}

/// Gets a process for a context of `spec`. It says `ready` when it can serve.
///
/// # Errors
/// There is none to be had.
pub(crate) async fn obtain(
    agent: &Rc<Agent>,
    spec: &Rc<Spec>,
) -> Result<KernelProcess, SupplyError> {
    let account = agent.account(None)?;
    if spec.zygote
        && let Some(forked) = agent.supply.take(&account).await
        && let Ok(process) = begin(forked, &variables(&account, spec)).await
    {
        return Ok(process);
    }
    let user = account.uid;
    let waiting = agent
        .kernels()
        .spares
        .waiting
        .borrow_mut()
        .remove(&spec.name);
    if spec.spare {
        wait_for_another(agent, spec);
    }
    match waiting {
        Some((uid, process)) if uid == user && process.lives() => Ok(process),
        Some((_, process)) => {
            process.kill();
            start_cold(agent, spec)
        }
        None => start_cold(agent, spec),
    }
}

/// Has a process wait for the next context, a little later: what is asked for now goes first.
pub(crate) fn wait_for_another(agent: &Rc<Agent>, spec: &Rc<Spec>) {
    let (agent, spec) = (Rc::clone(agent), Rc::clone(spec));
    tokio::task::spawn_local(async move {
        tokio::time::sleep(limits::KERNEL_SPARE_REST).await;
        let spares = &agent.kernels().spares;
        if spares.waiting.borrow().contains_key(&spec.name) {
            return;
        }
        // Without one the next context waits for its own, and tells what fails.
        if let (Ok(account), Ok(process)) = (agent.account(None), start_cold(&agent, &spec)) {
            let spare = (account.uid, process);
            spares.waiting.borrow_mut().insert(spec.name.clone(), spare);
        }
    });
}

/// The variables of a kernel's process. The sandbox's own come later: they must not keep the kernel
/// itself from running.
fn variables(account: &Account, spec: &Spec) -> BTreeMap<String, String> {
    let given = spec.env.iter();
    let given = given.map(|(name, value)| (name.clone(), value.clone()));
    own_variables(account).chain(given).collect()
}

/// Has a copy of the zygote be the kernel.
async fn begin(forked: Forked, variables: &BTreeMap<String, String>) -> io::Result<KernelProcess> {
    let order = serde_json::json!({"type": "kernel", "env": variables});
    let order = serde_json::to_vec(&order)?;
    let length = u32::try_from(order.len()).map_err(io::Error::other)?;
    let mut control = forked.control;
    control.write_all(&length.to_be_bytes()).await?;
    control.write_all(&order).await?;
    KernelProcess::new(forked.pid, control.into_std()?, None)
}

/// Starts a new process as the sandbox's default user.
fn start_cold(agent: &Rc<Agent>, spec: &Spec) -> Result<KernelProcess, SupplyError> {
    let account = agent.account(None)?;
    let variables = variables(&account, spec);
    let path = variables.get("PATH").map_or("", String::as_str);
    let program = spec.argv.first().map_or("", String::as_str);
    let paths = candidates(program, path)?;
    let arguments = spec.argv.iter().map(|word| c_string(word.as_str()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let variables = variables
        .iter()
        .map(|(name, value)| c_string(format!("{name}={value}")));
    let variables = variables.collect::<Result<Vec<_>, _>>()?;

    let (ours, theirs) = UnixStream::pair()?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(io::Error::from)?;
    let log = log().map_err(io::Error::from)?;
    agent.oom_score.raise();
    let started = start(&Program {
        paths: &paths,
        arguments: &arguments,
        environment: &variables,
        // Nothing of a user's is there that a program could take for its own.
        directory: c"/",
        stdio: [null.as_fd(), null.as_fd(), log.as_fd()],
        control: Some(theirs.as_fd()),
        controls_terminal: false,
        identity: identity(&account),
        open_files: Some(agent.open_files),
    });
    lower_score(agent);
    let pid = started.map_err(|error| SupplyError::Start(program.to_owned(), error))?;
    KernelProcess::new(pid, ours, Some(log)).map_err(|error| {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        error.into()
    })
}

/// Makes the agent the last to be ended again, once the new process has left its memory.
fn lower_score(agent: &Rc<Agent>) {
    let agent = Rc::clone(agent);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(limits::KERNEL_LEFT).await;
        agent.oom_score.lower();
    });
}

/// A file for a kernel's standard error that cannot grow: what does not fit is lost, and nobody has
/// to read it.
fn log() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("kernel", flags)?;
    rustix::fs::ftruncate(&file, LOG)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}
