//! The one place that waits for children: those that the agent started, and as PID 1 also every
//! process whose parent went away.

use crate::process::end::End;
use crate::state::Agent;
use rustix::fd::OwnedFd;
use rustix::process::WaitOptions;
use soulbox_syscall::signal::clear_child_signals;
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// Runs for ever. `signals` is readable whenever a child has ended.
pub(crate) async fn run(agent: Rc<Agent>, signals: AsyncFd<OwnedFd>) {
    // The wait fails only when the runtime goes away.
    while let Ok(mut guard) = signals.readable().await {
        clear_child_signals(signals.get_ref());
        guard.clear_ready();
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(end) = End::from_status(status) {
                agent.processes.child_ended(pid, end);
            }
        }
    }
}
