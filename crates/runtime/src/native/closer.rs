//! A process that closes detached mounts.
//!
//! The last close of a detached mount waits for an RCU grace period (`dissolve_on_fput` in
//! Linux's fs/namespace.c), a tenth of a millisecond in which a spawner that did it itself could
//! make nobody's sandbox. So it hands them to a copy of itself that does nothing else.

use super::channel;
use super::step::{Step, StepError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use soulbox_syscall::clone::{Namespaces, Side, clone_process};
use soulbox_syscall::descriptor;

/// The spawner's end of the channel to the process.
pub(super) struct Closer {
    channel: OwnedFd,
}

impl Closer {
    /// Starts the process. It ends with the spawner.
    pub(super) fn start() -> Result<Self, StepError> {
        let start = || {
            let (mine, closers) = channel::pair()?;
            rustix::io::ioctl_fionbio(&mine, true)?;
            match clone_process(Namespaces::empty(), None)? {
                Side::Child => run(closers),
                Side::Parent { .. } => Ok(Self { channel: mine }),
            }
        };
        start().step(|| "start the process that closes mounts".to_owned())
    }

    /// Has `mounts` closed. When that process is busy or gone they are closed here, slower.
    pub(super) fn close(&self, mounts: &[OwnedFd]) {
        let borrowed: Vec<_> = mounts.iter().map(AsFd::as_fd).collect();
        let _ = channel::send(&self.channel, &(), &borrowed);
    }
}

fn run(channel: OwnedFd) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_name(c"soulbox-closer");
    if let Ok(channel) = descriptor::keep(channel) {
        // What comes with each message is closed by being dropped.
        while channel::receive::<()>(&channel).is_ok() {}
    }
    std::process::exit(0)
}
