//! A network namespace of a user namespace that somebody else owns.
//!
//! Who may enter a network namespace is who has rights over the user namespace that it was made in.
//! Those of the host's own are the host's root alone; a zygote's copies could not enter them. One that
//! was made in a fresh user namespace of the zygote's uid they can ([`soulbox_wire::zygote`]), and
//! nobody inside of a sandbox, whose user namespace is another one, has any say in it all the same.

use crate::native::step::{Step, StepError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use soulbox_syscall::clone::{Namespaces, Side, clone_process};
use soulbox_syscall::wait;

/// Makes a network namespace in a fresh user namespace of `owner`'s. Both live for as long as the
/// former is used.
pub(super) fn create(owner: u32) -> Result<OwnedFd, StepError> {
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).step(|| "make a pipe".to_owned())?;
    let side = set_effective_user(owner)
        .and_then(|()| clone_process(Namespaces::USER | Namespaces::NET, None));
    if let Ok(Side::Child) = side {
        drop(tell);
        // Until the namespace is opened, or the spawner has died.
        let _ = rustix::io::read(&told, &mut [0]);
        std::process::exit(0)
    }
    if set_effective_user(0).is_err() {
        // Nothing that this process did from here on would be done as who it is meant to be.
        std::process::abort();
    }
    let Side::Parent { pid, pidfd } = side.step(|| "make a network namespace".to_owned())? else {
        std::process::abort()
    };
    let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty());
    drop(tell);
    collect(pid, &pidfd);
    opened.step(|| format!("open {path}"))
}

/// Waits for a child that is about to end.
fn collect(pid: Pid, pidfd: &OwnedFd) {
    while let Ok(None) = wait::try_wait(pid) {
        let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None);
    }
}

fn set_effective_user(uid: u32) -> Result<(), Errno> {
    rustix::thread::set_thread_res_uid(None, Some(Uid::from_raw(uid)), None)
}
