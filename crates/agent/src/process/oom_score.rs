//! How willing Linux is to end a command, or the agent, when memory runs out.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::cell::Cell;

/// Makes commands the first to be ended when memory runs out, long before the agent, which
/// starts with 0 (1000 would be certain death beside anything else).
const COMMANDS: &[u8] = b"500";

/// The agent's own score. Commands inherit it, so it is raised for the moment of a start: two
/// writes to an open file, where writing the command's own would cost it 20 µs.
pub(crate) struct OomScore {
    file: Option<OwnedFd>,
    own: Vec<u8>,
    raised: Cell<bool>,
}

impl OomScore {
    /// To be called while the agent's own files in `/proc` are still its own (see
    /// `PR_SET_DUMPABLE`). Without `/proc` nothing is ever raised.
    pub(crate) fn open() -> Self {
        let path = "/proc/self/oom_score_adj";
        let own = std::fs::read(path).unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).ok();
        Self {
            file: file.filter(|_| !own.is_empty()),
            own,
            raised: Cell::new(false),
        }
    }

    /// To be called before a start.
    pub(crate) fn raise(&self) {
        if let Some(file) = &self.file
            && !self.raised.replace(true)
        {
            let _ = rustix::io::write(file, COMMANDS);
        }
    }

    /// To be called a little after a start, not at once: while the new process has not quite
    /// left the agent's memory, Linux gives both of them the same score.
    pub(crate) fn lower(&self) {
        if let Some(file) = &self.file
            && self.raised.replace(false)
        {
            let _ = rustix::io::write(file, &self.own);
        }
    }
}
