//! What the control groups of a service hold: its processes', what Linux keeps for them, and files in memory that they
//! were the first to read or to write.

use soulbox_runtime::native::cgroup::{Controller, Layout};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below it each sandbox and each zygote has a group of its own.
const SANDBOXES: &str = "soulbox";

/// How often, and how long after each other, a group is taken away: its last processes may be about to end.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// A group for the server itself.
#[derive(Debug)]
pub(in crate::cmd::bench) struct Group {
    mount: PathBuf,
    name: String,
    v2: bool,
}

impl Group {
    /// Puts a server into a group of its own, before it has done anything; none where groups do not count memory.
    pub(in crate::cmd::bench) fn of(pid: u32) -> Option<Self> {
        let layout = Layout::of_host().ok()?;
        let mut all = layout.hierarchies.into_iter();
        let memory = all.find(|one| one.controllers.contains(&Controller::Memory))?;
        let group = Self {
            mount: memory.mount,
            name: format!("soulbox-bench-{pid}"),
            v2: memory.v2,
        };
        let path = group.mount.join(&group.name);
        fs::create_dir(&path).ok()?;
        let moved = fs::write(path.join("cgroup.procs"), pid.to_string());
        if moved.is_err() || group.bytes(&path).is_none() {
            let _ = fs::remove_dir(&path);
            return None;
        }
        Some(group)
    }

    /// KiB in this group, and in those of sandboxes in which these processes are.
    pub(super) fn memory_kib(&self, processes: &[u32]) -> u64 {
        let lists = processes
            .iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
        let mut groups: BTreeSet<PathBuf> = lists
            .filter_map(|list| sandbox(&list, self.v2))
            .map(|group| self.mount.join(SANDBOXES).join(group))
            .collect();
        groups.insert(self.mount.join(&self.name));
        let bytes = groups.iter().filter_map(|group| self.bytes(group));
        bytes.sum::<u64>() / 1024
    }

    fn bytes(&self, group: &Path) -> Option<u64> {
        let file = match self.v2 {
            true => "memory.current",
            false => "memory.usage_in_bytes",
        };
        let text = fs::read_to_string(group.join(file)).ok()?;
        text.trim().parse().ok()
    }

    /// Takes the group away once its processes have ended.
    pub(in crate::cmd::bench) async fn end(self) {
        let path = self.mount.join(&self.name);
        for _ in 0..TRIES {
            if fs::remove_dir(&path).is_ok() {
                return;
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

/// The name of the sandbox's group that a process is in, by its list (cgroups(7)).
fn sandbox(list: &str, v2: bool) -> Option<String> {
    let path = list.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let is_it = match v2 {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|one| one == "memory"),
        };
        is_it.then_some(path)
    });
    let below = path?.strip_prefix('/')?.strip_prefix(SANDBOXES)?;
    let name = below.strip_prefix('/')?.split('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_in_the_group_of_its_sandbox_or_in_none() {
        let list = "8:pids:/soulbox/s9\n4:memory:/soulbox/s7/inner\n0::/soulbox/s5\n";
        assert_eq!(sandbox(list, false).as_deref(), Some("s7"));
        assert_eq!(sandbox(list, true).as_deref(), Some("s5"));
        for other in [
            "4:memory:/soulbox-bench-1",
            "4:memory:/soulbox",
            "4:cpu:/soulbox/s7",
        ] {
            assert_eq!(sandbox(other, false), None, "{other}");
        }
    }
}
