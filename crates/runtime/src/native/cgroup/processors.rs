//! Holding some sandboxes to some of the machine's processors, by `cpuset.cpus` of their groups
//! (cpuset(7)). Unlike an affinity (sched_setaffinity(2)), it cannot be undone from inside.

use super::layout::CPUSET;
use super::{Layout, name_of, open_directory, write_file};
use crate::native::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The most bytes that are read of a file.
const MAX_READ: u64 = 1 << 20;

/// The processors of the machine, and which of them sandboxes may be held to.
#[derive(Debug)]
pub struct Processors {
    /// The group of all sandboxes where processors are assigned.
    assigned: PathBuf,
    /// The same where processor time is counted, and by which file.
    counted: (PathBuf, CountFile),
    /// What is written to let a sandbox use all.
    all: String,
    /// What is written to hold it to all but one.
    some: String,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
enum CountFile {
    /// `usage_usec` of `cpu.stat`.
    V2,
    /// `cpuacct.usage`, in nanoseconds.
    V1,
}

impl Processors {
    /// Looks what the host has. Nothing where processor time is not counted, processors cannot be
    /// assigned, or there is only one.
    pub fn find(layout: &Layout, name: &str) -> Option<Self> {
        let hierarchy = layout.hierarchies.iter().find(|h| h.assigns)?;
        let assigned = hierarchy.mount.join(name);
        let file = match hierarchy.v2 {
            true => "cpuset.cpus.effective",
            false => "cpuset.cpus",
        };
        let list = read(&assigned.join(file))?;
        let cpus = parse(&list);
        Some(Self {
            counted: counting(layout, name)?,
            // On v2 an empty set is the one of the group above.
            all: match hierarchy.v2 {
                true => "\n".to_owned(),
                false => list.trim().to_owned(),
            },
            some: all_but_one(&cpus)?,
            count: cpus.len(),
            assigned,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Processor time of each sandbox so far, by its slot, in microseconds.
    pub fn used_each(&self) -> Vec<(u32, u64)> {
        let (counted, file) = &self.counted;
        let used = slots(counted).map(|(slot, group)| Some((slot, used_by(&group, *file)?)));
        used.flatten().collect()
    }

    /// Holds a sandbox to all processors but one. One that is gone needs none.
    ///
    /// # Errors
    /// The step that Linux refused; it is as it was.
    pub fn hold(&self, slot: u32) -> Result<(), StepError> {
        set(&self.assigned.join(name_of(slot)), &self.some)
    }

    /// Lets a sandbox use all processors again.
    ///
    /// # Errors
    /// As [`Processors::hold`].
    pub fn release(&self, slot: u32) -> Result<(), StepError> {
        set(&self.assigned.join(name_of(slot)), &self.all)
    }

    /// Lets all sandboxes use all processors: an engine that is gone may have held some.
    ///
    /// # Errors
    /// As [`Processors::hold`].
    pub fn release_all(&self) -> Result<(), StepError> {
        for (_, group) in slots(&self.assigned) {
            set(&group, &self.all)?;
        }
        Ok(())
    }
}

/// Gives the v1 group of all sandboxes what this process may use, and has those below it begin
/// with the same: an empty one could not be entered.
pub(super) fn share(group: BorrowedFd<'_>) -> Result<(), Errno> {
    let own = own_v1_group().ok_or(Errno::NOENT)?;
    for file in ["cpuset.mems", "cpuset.cpus"] {
        let value = read(&own.join(file)).ok_or(Errno::IO)?;
        match write_file(group, file, value.trim().as_bytes()) {
            // Sandboxes of another engine use more than this one may.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(errno),
        }
    }
    write_file(group, "cgroup.clone_children", b"1")
}

/// Where processor time is counted for each sandbox.
fn counting(layout: &Layout, name: &str) -> Option<(PathBuf, CountFile)> {
    let counting = layout.hierarchies.iter().find(|h| h.counts)?;
    let file = match counting.v2 {
        true => CountFile::V2,
        false => CountFile::V1,
    };
    Some((counting.mount.join(name), file))
}

fn used_by(group: &Path, file: CountFile) -> Option<u64> {
    match file {
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

/// The groups of slots below one.
fn slots(all: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = std::fs::read_dir(all).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let slot = entry
            .file_name()
            .to_str()?
            .strip_prefix('s')?
            .parse()
            .ok()?;
        Some((slot, entry.path()))
    })
}

/// The directory of this process's own group in the v1 hierarchy (cgroups(7), `/proc/[pid]/cgroup`).
fn own_v1_group() -> Option<PathBuf> {
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

/// Sets the processors of a group.
fn set(group: &Path, cpus: &str) -> Result<(), StepError> {
    let Ok(directory) = open_directory(rustix::fs::CWD, group) else {
        return Ok(());
    };
    match write_file(directory.as_fd(), "cpuset.cpus", cpus.as_bytes()) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno).step(|| format!("write {cpus:?} to cpuset.cpus of {group:?}")),
    }
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_READ).read_to_string(&mut text).ok()?;
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
