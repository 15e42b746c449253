//! What the agent does before it serves: it takes what it inherits and shuts the rest out.

use crate::channel::watch;
use crate::limits;
use crate::process::oom_score::OomScore;
use crate::process::reap;
use crate::server;
use crate::state::Agent;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use soulbox_syscall::{descriptor, inherit, signal};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

/// The descriptor of the listening socket.
const LISTENER: i32 = 3;
/// The descriptor that is written one byte to, and closed, when connections are accepted.
const READY: i32 = 4;
/// The name that process lists show.
const NAME: &std::ffi::CStr = c"soulbox-agent";

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// A step of Linux's failed.
    #[error("cannot {0}: {1}")]
    Step(&'static str, Errno),
    /// The runtime failed.
    #[error("cannot {0}: {1}")]
    Runtime(&'static str, std::io::Error),
}

fn step<T>(what: &'static str, result: rustix::io::Result<T>) -> Result<T, BootError> {
    result.map_err(|errno| BootError::Step(what, errno))
}

/// Readies the process and serves; returns only when that is impossible.
pub(crate) fn run() -> Result<(), BootError> {
    let listener = step(
        "take the listening socket from descriptor 3",
        inherit::take_inherited(LISTENER),
    )?;
    let ready = step(
        "take the ready pipe from descriptor 4",
        inherit::take_inherited(READY),
    )?;
    // Before anything of our own is opened.
    step("close other descriptors", descriptor::close_from(READY + 1))?;
    let oom_score = OomScore::open();
    // Nobody reads this process's memory, not even another root of its sandbox.
    let hide = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    step("forbid being dumped", hide)?;
    step("set the process's name", rustix::thread::set_name(NAME))?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let open_files = step("raise the limit of open files", raise_open_files())?;
    let children = step("hear of children", signal::child_signals())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let null = step(
        "open /dev/null",
        rustix::fs::open("/dev/null", flags, Mode::empty()),
    )?;
    serve(
        Agent::new(null, open_files, oom_score),
        listener,
        ready,
        children,
    )
}

fn serve(
    agent: Agent,
    listener: OwnedFd,
    ready: OwnedFd,
    children: OwnedFd,
) -> Result<(), BootError> {
    let runtime = |what| move |error| BootError::Runtime(what, error);
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits::THREADS)
        .thread_keep_alive(limits::THREAD_KEPT)
        .build()
        .map_err(runtime("make the runtime"))?;
    tokio::task::LocalSet::new().block_on(&tokio, async {
        let listener = UnixListener::from(listener);
        listener
            .set_nonblocking(true)
            .map_err(runtime("ready the listening socket"))?;
        let listener = tokio::net::UnixListener::from_std(listener);
        let listener = listener.map_err(runtime("watch the listening socket"))?;
        let children = watch(children).map_err(runtime("watch children"))?;
        let agent = Rc::new(agent);
        tokio::task::spawn_local(reap::run(Rc::clone(&agent), children));
        step(
            "tell that connections are accepted",
            rustix::io::write(&ready, b"1"),
        )?;
        drop(ready);
        server::run(agent, listener).await;
        Ok(())
    })
}

/// The limit of open files that processes get; the agent's own is raised.
fn raise_open_files() -> rustix::io::Result<Rlimit> {
    let inherited = rustix::process::getrlimit(Resource::Nofile);
    let most = inherited
        .maximum
        .map_or(limits::OPEN_FILES, |max| max.min(limits::OPEN_FILES));
    let current = inherited.current.map_or(most, |current| current.max(most));
    let raised = Rlimit {
        current: Some(current),
        maximum: inherited.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    Ok(inherited)
}
