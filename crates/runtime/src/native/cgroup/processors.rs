//! Holding some sandboxes to some of the machine's processors.
//!
//! | Host | How a sandbox is held |
//! |---|---|
//! | v2 with `cpuset` | `cpuset.cpus` of its own group |
//! | v1 with `cpuset` | its processes are moved to one group for all that are held |
//!
//! Unlike an affinity (sched_setaffinity(2)), neither can be undone from inside. On v1 a sandbox has no group of
//! its own for this: entering one more would make every create slower, and few are ever held.

use super::{Hierarchy, Layout, enable_named, name_of, open_directory, write_file};
use crate::native::step::{Step, StepError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The controller.
const CPUSET: &str = "cpuset";
/// The v1 group of all that are held, beside the one of the engine.
const HELD: &str = "soulbox-held";
/// The most bytes that are read of a file: a sandbox has some thousand processes at most.
const MAX_READ: usize = 1 << 20;
/// How often the processes of a sandbox are looked for while they are moved: those that were begun
/// by one that was not moved yet are found the next time.
const ROUNDS: u32 = 6;

/// The processors of the machine, and which of them sandboxes may be held to.
#[derive(Debug)]
pub struct Processors {
    /// The group of all sandboxes where processor time is counted.
    counted: PathBuf,
    count_file: CountFile,
    way: Way,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
enum CountFile {
    /// `usage_usec` of `cpu.stat`.
    V2,
    /// `cpuacct.usage`, in nanoseconds.
    V1,
}

#[derive(Debug)]
enum Way {
    /// The group of all sandboxes.
    V2 { all: PathBuf, held: String },
    V1 {
        /// The group of the engine.
        free: PathBuf,
        /// The one of all that are held.
        held: PathBuf,
        /// The group of all sandboxes in a hierarchy that lists a sandbox's processes.
        members: PathBuf,
    },
}

impl Processors {
    /// Looks what the host has. Nothing where processor time is not counted, processors cannot be
    /// assigned, or there is only one.
    ///
    /// # Errors
    /// The step that Linux refused.
    pub fn open(layout: &Layout, name: &str) -> Result<Option<Self>, StepError> {
        let Some((counted, count_file)) = counting(layout, name) else {
            return Ok(None);
        };
        let v2 = layout.hierarchies.iter().find(|h| h.v2);
        let found = match v2.filter(|h| offers(&h.mount)) {
            Some(hierarchy) => Self::on_v2(hierarchy, name)?,
            None => match v1_group() {
                Some(free) => Self::on_v1(layout, name, free)?,
                None => None,
            },
        };
        Ok(found.map(|(way, count)| Self {
            counted,
            count_file,
            way,
            count,
        }))
    }

    fn on_v2(hierarchy: &Hierarchy, name: &str) -> Result<Option<(Way, usize)>, StepError> {
        let all = hierarchy.mount.join(name);
        for group in [&hierarchy.mount, &all] {
            let directory = open_directory(rustix::fs::CWD, group)
                .step(|| format!("open the cgroup {group:?}"))?;
            enable_named(directory.as_fd(), &[CPUSET])
                .step(|| format!("enable cpuset for the cgroup {group:?}"))?;
        }
        let cpus = parse(&read(&all.join("cpuset.cpus.effective")).unwrap_or_default());
        Ok(all_but_one(&cpus).map(|held| (Way::V2 { all, held }, cpus.len())))
    }

    fn on_v1(
        layout: &Layout,
        name: &str,
        free: PathBuf,
    ) -> Result<Option<(Way, usize)>, StepError> {
        let Some(members) = layout.hierarchies.iter().find(|h| !h.v2) else {
            return Ok(None);
        };
        let cpus = parse(&read(&free.join("cpuset.cpus")).unwrap_or_default());
        let Some(some) = all_but_one(&cpus) else {
            return Ok(None);
        };
        let held = free.join(HELD);
        match rustix::fs::mkdir(&held, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).step(|| format!("make the cgroup {held:?}")),
        }
        let directory =
            open_directory(rustix::fs::CWD, &held).step(|| format!("open the cgroup {held:?}"))?;
        let memory = read(&free.join("cpuset.mems")).unwrap_or_default();
        for (file, value) in [("cpuset.mems", memory.trim()), ("cpuset.cpus", &some)] {
            write_file(directory.as_fd(), file, value.as_bytes())
                .step(|| format!("write {value} to {file} of {held:?}"))?;
        }
        let members = members.mount.join(name);
        Ok(Some((
            Way::V1 {
                free,
                held,
                members,
            },
            cpus.len(),
        )))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Processor time of each sandbox so far, by its slot, in microseconds.
    pub fn used_each(&self) -> Vec<(u32, u64)> {
        let entries = std::fs::read_dir(&self.counted);
        let slots = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let slot = entry
                .file_name()
                .to_str()?
                .strip_prefix('s')?
                .parse()
                .ok()?;
            Some((slot, self.used_by(&entry.path())?))
        });
        slots.collect()
    }

    fn used_by(&self, group: &Path) -> Option<u64> {
        match self.count_file {
            CountFile::V2 => {
                let text = read(&group.join("cpu.stat"))?;
                let line = text.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
                line.trim().parse().ok()
            }
            CountFile::V1 => {
                let nanos: u64 = read(&group.join("cpuacct.usage"))?.trim().parse().ok()?;
                Some(nanos / 1000)
            }
        }
    }

    /// Holds a sandbox to all processors but one.
    ///
    /// # Errors
    /// The step that Linux refused; it is as it was, or half of its processes are held.
    pub fn hold(&self, slot: u32) -> Result<(), StepError> {
        match &self.way {
            Way::V2 { all, held } => set(&all.join(name_of(slot)), held),
            Way::V1 { held, members, .. } => shift(&members.join(name_of(slot)), held),
        }
    }

    /// Lets a sandbox use all processors again.
    ///
    /// # Errors
    /// As [`Processors::hold`].
    pub fn release(&self, slot: u32) -> Result<(), StepError> {
        match &self.way {
            // An empty set is the one of the group above.
            Way::V2 { all, .. } => set(&all.join(name_of(slot)), "\n"),
            Way::V1 { free, members, .. } => shift(&members.join(name_of(slot)), free),
        }
    }

    /// Lets all that are held use all processors again: those that an engine held that is gone.
    ///
    /// # Errors
    /// As [`Processors::hold`].
    pub fn release_all(&self) -> Result<(), StepError> {
        match &self.way {
            Way::V2 { .. } => {
                for (slot, _) in self.used_each() {
                    self.release(slot)?;
                }
                Ok(())
            }
            Way::V1 { free, held, .. } => shift(held, free),
        }
    }
}

/// Where processor time is counted for each sandbox.
fn counting(layout: &Layout, name: &str) -> Option<(PathBuf, CountFile)> {
    if let Some(v2) = layout.hierarchies.iter().find(|h| h.v2) {
        return Some((v2.mount.join(name), CountFile::V2));
    }
    let groups = layout.hierarchies.iter().map(|h| h.mount.join(name));
    let mut counted = groups.filter(|group| group.join("cpuacct.usage").exists());
    Some((counted.next()?, CountFile::V1))
}

fn offers(mount: &Path) -> bool {
    let offered = read(&mount.join("cgroup.controllers")).unwrap_or_default();
    offered.split_whitespace().any(|name| name == CPUSET)
}

/// The directory of this process's own group in the v1 hierarchy (cgroups(7), `/proc/[pid]/cgroup`).
fn v1_group() -> Option<PathBuf> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let mount = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let is_v1 = right.next() == Some("cgroup");
        let has = right.nth(1)?.split(',').any(|option| option == CPUSET);
        (is_v1 && has).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })?;
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let own = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let has = fields.next()?.split(',').any(|name| name == CPUSET);
        has.then(|| fields.next())?
    })?;
    Some(mount.join(own.trim_matches('/')))
}

/// Sets the processors of a v2 group. One that is gone needs none.
fn set(group: &Path, cpus: &str) -> Result<(), StepError> {
    let Ok(directory) = open_directory(rustix::fs::CWD, group) else {
        return Ok(());
    };
    match write_file(directory.as_fd(), "cpuset.cpus", cpus.as_bytes()) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno).step(|| format!("write {cpus:?} to cpuset.cpus of {group:?}")),
    }
}

/// Moves the processes of the group `from` to the v1 group `to`.
fn shift(from: &Path, to: &Path) -> Result<(), StepError> {
    let directory =
        open_directory(rustix::fs::CWD, to).step(|| format!("open the cgroup {to:?}"))?;
    let entrance = entrance(&directory).step(|| format!("open the entrance of {to:?}"))?;
    let mut moved = HashSet::new();
    for _ in 0..ROUNDS {
        let Some(members) = read(&from.join("cgroup.procs")) else {
            return Ok(());
        };
        let mut more = false;
        for pid in members.lines().filter(|pid| !pid.is_empty()) {
            if !moved.insert(pid.to_owned()) {
                continue;
            }
            more = true;
            match rustix::io::write(&entrance, pid.as_bytes()) {
                // It has ended, or does so.
                Ok(_) | Err(Errno::SRCH | Errno::NODEV) => {}
                Err(errno) => {
                    return Err(errno).step(|| format!("move process {pid} to {to:?}"));
                }
            }
        }
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

fn entrance(group: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(group, "cgroup.procs", flags, Mode::empty())
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_READ as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The processors of a list as `0-3,8` (cpuset(7)).
fn parse(list: &str) -> Vec<u32> {
    let parts = list.trim().split(',');
    let ranges = parts.filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.flatten().collect()
}

/// The list of all but the last; none when there is only one.
fn all_but_one(cpus: &[u32]) -> Option<String> {
    let (_, rest) = cpus.split_last()?;
    if rest.is_empty() {
        return None;
    }
    let words: Vec<_> = rest.iter().map(u32::to_string).collect();
    Some(words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse("0-1,4,6-7\n"), [0, 1, 4, 6, 7]);
        assert_eq!(parse("\n"), [0_u32; 0]);
        assert_eq!(parse("x,2"), [2]);
        assert_eq!(all_but_one(&parse("0-2,5")).as_deref(), Some("0,1,2"));
        assert_eq!(all_but_one(&[3]), None);
        assert_eq!(all_but_one(&[]), None);
    }
}
