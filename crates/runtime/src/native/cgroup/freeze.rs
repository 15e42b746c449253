//! Letting a group stand still, and go on.
//!
//! Linux stops each thread where it next returns to user mode, which takes microseconds unless one
//! waits for a device. On v2 the group says when all of them stand still, and a frozen process can
//! be killed; on v1 it has to go on for that.

use super::{Group, Part};
use crate::native::step::StepError;

/// What stops the processes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezer {
    /// The v2 hierarchy.
    V2,
    /// The v1 hierarchy of the controller `freezer`.
    V1,
}

impl Freezer {
    /// The file to write to, and what stops or lets go on.
    pub(super) const fn switch(self, frozen: bool) -> (&'static str, &'static str) {
        match (self, frozen) {
            (Self::V2, true) => ("cgroup.freeze", "1"),
            (Self::V2, false) => ("cgroup.freeze", "0"),
            (Self::V1, true) => ("freezer.state", "FROZEN"),
            (Self::V1, false) => ("freezer.state", "THAWED"),
        }
    }
}

impl Group {
    /// What stops the processes in it, if anything does.
    pub fn freezer(&self) -> Option<Freezer> {
        self.freezing().map(|(_, freezer)| freezer)
    }

    /// Begins to stop all processes in it.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn freeze(&self) -> Result<(), StepError> {
        self.switch(true)
    }

    /// Lets all processes in it go on.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn thaw(&self) -> Result<(), StepError> {
        self.switch(false)
    }

    /// Whether all processes in it stand still.
    pub fn is_frozen(&self) -> bool {
        self.freezing()
            .is_some_and(|(part, freezer)| match freezer {
                Freezer::V2 => part.field("cgroup.events", "frozen") == Some(1),
                Freezer::V1 => part
                    .read("freezer.state")
                    .is_some_and(|state| state.trim() == "FROZEN"),
            })
    }

    fn switch(&self, frozen: bool) -> Result<(), StepError> {
        let Some((part, freezer)) = self.freezing() else {
            return Ok(());
        };
        let (file, value) = freezer.switch(frozen);
        part.write(file, value)
    }

    fn freezing(&self) -> Option<(&Part, Freezer)> {
        let part = self.parts.iter().find(|part| part.hierarchy().freezes)?;
        let freezer = if part.hierarchy().v2 {
            Freezer::V2
        } else {
            Freezer::V1
        };
        Some((part, freezer))
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the test needs a process to stop"
)]
mod tests {
    use super::super::{Hierarchy, Layout, Parents, name_of};
    use super::*;
    use soulbox_wire::spawner::Ceiling;
    use std::path::Path;
    use std::process::Command;

    const OPEN: Ceiling = Ceiling {
        memory: 0,
        pids: 0,
        cpu_millis: 0,
        cpu_weight: 100,
    };

    /// A v1 freezer does the same as v2, on hosts that have one.
    #[test]
    fn v1_stops_and_lets_go_on() {
        let mount = Path::new("/sys/fs/cgroup/freezer");
        if !rustix::process::geteuid().is_root() || !mount.join("tasks").exists() {
            return;
        }
        let layout = Layout {
            hierarchies: vec![Hierarchy {
                mount: mount.to_owned(),
                v2: false,
                controllers: Vec::new(),
                freezes: true,
                assigns: false,
                counts: false,
            }],
            missing: Vec::new(),
        };
        let name = format!("soulbox-test-{}", std::process::id());
        let group = Parents::open(&layout, &name, &OPEN).unwrap();
        let group = group.make(1).unwrap();
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let tasks = mount.join(&name).join(name_of(1)).join("tasks");
        std::fs::write(tasks, child.id().to_string()).unwrap();
        group.freeze().unwrap();
        let begin = std::time::Instant::now();
        while !group.is_frozen() {
            assert!(begin.elapsed().as_secs() < 10);
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert!(child.try_wait().unwrap().is_none(), "frozen, it cannot end");
        super::super::thaw_left(&layout, &name, 1);
        child.wait().unwrap();
        assert!(!group.is_frozen() && group.freezer() == Some(Freezer::V1));
        group.remove().unwrap();
        rustix::fs::rmdir(mount.join(&name)).unwrap();
    }
}
