//! The network of a slot.

use super::step::{Step, StepError};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use soulbox_syscall::namespace;
use soulbox_wire::spawner::Network;

/// Where slots' addresses come from.
pub(super) struct Plan;

impl Plan {
    pub(super) fn new(_subnet: &str) -> Result<Self, StepError> {
        Ok(Self)
    }
}

/// A slot's network as it was made.
pub(super) struct Made {
    pub(super) namespace: OwnedFd,
    pub(super) resolver: Vec<OwnedFd>,
    pub(super) undo: Box<dyn FnOnce() -> Result<(), Errno>>,
}

/// Makes the network of a slot.
pub(super) fn create(
    _plan: &Plan,
    home: BorrowedFd<'_>,
    _slot: u32,
    _network: Network,
) -> Result<Made, StepError> {
    namespace::new_network_namespace().step(|| "make a network namespace".to_owned())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty());
    namespace::enter_network_namespace(home).step(|| "go back".to_owned())?;
    let namespace = namespace.step(|| "open ns".to_owned())?;
    Ok(Made {
        namespace,
        resolver: Vec::new(),
        undo: Box::new(|| Ok(())),
    })
}
