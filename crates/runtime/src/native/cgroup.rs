//! Cgroups of slots, on v1, hybrid and v2 hosts.
//!
//! Each controller is looked for where the host keeps it: in a v1 hierarchy of its own, or in
//! the v2 hierarchy. A slot gets one directory per hierarchy that holds a controller it needs.
//!
//! A process enters a v1 group by writing `0` to its `tasks` file itself: Linux then moves one
//! thread, the writer, and needs no lock over all processes. Any write to `cgroup.procs` takes
//! that lock and waits for an RCU grace period, about 12 ms when it has not been taken lately
//! (`cgroup_procs_write_start` in Linux's kernel/cgroup/cgroup.c). On v2 it is born in its group.

use super::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use soulbox_wire::spawner::{CgroupLimits, Usage};
use std::path::{Path, PathBuf};

/// The length of a scheduling period in microseconds: Linux's own default
/// (Documentation/scheduler/sched-bwc.rst).
const CPU_PERIOD_US: u64 = 100_000;

/// The most bytes that are read of a cgroup's file.
const MAX_READ: usize = 16 * 1024;

/// A controller that limits sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// Processor time.
    Cpu,
    /// Processes and threads.
    Pids,
}

impl Controller {
    /// All that a sandbox needs.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// Its name in Linux.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

/// One hierarchy of the host and which controllers are taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// True for the v2 hierarchy.
    pub v2: bool,
    /// What is limited through it.
    pub controllers: Vec<Controller>,
}

/// Where the host keeps its controllers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The hierarchies in use, v1 first.
    pub hierarchies: Vec<Hierarchy>,
    /// Controllers that the host lacks.
    pub missing: Vec<Controller>,
}

impl Layout {
    /// Finds the controllers from a mount table (`/proc/self/mountinfo`, proc(5)); `v2_offers`
    /// tells what the v2 hierarchy at a path offers (its `cgroup.controllers`).
    pub fn find(mountinfo: &str, v2_offers: impl Fn(&Path) -> String) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut v2 = None;
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else {
                continue;
            };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if v2.is_none() => v2 = Some(mount),
                (Some("cgroup"), Some(options)) => {
                    let mut controllers: Vec<_> = Controller::ALL
                        .into_iter()
                        .filter(|c| options.split(',').any(|option| option == c.name()))
                        .collect();
                    controllers.retain(|c| !hierarchies.iter().any(|h| h.controllers.contains(c)));
                    if !controllers.is_empty() {
                        hierarchies.push(Hierarchy {
                            mount,
                            v2: false,
                            controllers,
                        });
                    }
                }
                _ => {}
            }
        }
        let held = |c: &Controller| hierarchies.iter().any(|h| h.controllers.contains(c));
        let mut missing: Vec<_> = Controller::ALL.into_iter().filter(|c| !held(c)).collect();
        if let Some(mount) = v2 {
            let offers = v2_offers(&mount);
            let (controllers, rest): (Vec<_>, Vec<_>) = missing
                .into_iter()
                .partition(|c| offers.split_whitespace().any(|offer| offer == c.name()));
            missing = rest;
            if !controllers.is_empty() {
                hierarchies.push(Hierarchy {
                    mount,
                    v2: true,
                    controllers,
                });
            }
        }
        Self {
            hierarchies,
            missing,
        }
    }

    /// Finds the controllers of this host.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    pub fn of_host() -> std::io::Result<Self> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
        Ok(Self::find(&mountinfo, |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        }))
    }

    /// `v1`, `v2` or `hybrid`, as people call it.
    pub fn kind(&self) -> &'static str {
        match (
            self.hierarchies.iter().any(|h| !h.v2),
            self.hierarchies.iter().any(|h| h.v2),
        ) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }
}

/// The directories below which slots get theirs, opened.
#[derive(Debug)]
pub struct Parents {
    parents: Vec<Parent>,
}

#[derive(Debug)]
struct Parent {
    hierarchy: Hierarchy,
    directory: OwnedFd,
}

impl Parents {
    /// Makes and opens the directory `name` in each hierarchy of `layout`.
    ///
    /// # Errors
    /// The step that Linux refused.
    pub fn open(layout: &Layout, name: &str) -> Result<Self, StepError> {
        let mut parents = Vec::new();
        for hierarchy in &layout.hierarchies {
            let path = hierarchy.mount.join(name);
            match rustix::fs::mkdir(&path, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).step(|| format!("make the cgroup {path:?}")),
            }
            let directory = open_directory(rustix::fs::CWD, &path)
                .step(|| format!("open the cgroup {path:?}"))?;
            if hierarchy.v2 {
                let root = open_directory(rustix::fs::CWD, &hierarchy.mount)
                    .step(|| format!("open the cgroup {:?}", hierarchy.mount))?;
                for group in [root.as_fd(), directory.as_fd()] {
                    enable(group, &hierarchy.controllers)
                        .step(|| format!("enable controllers for the cgroup {path:?}"))?;
                }
            }
            parents.push(Parent {
                hierarchy: hierarchy.clone(),
                directory,
            });
        }
        Ok(Self { parents })
    }

    /// Makes the groups of a slot.
    ///
    /// # Errors
    /// The step that Linux refused; what was made is removed again.
    pub fn make(&self, slot: u32) -> Result<Group, StepError> {
        let name = format!("s{slot}");
        let mut group = Group {
            name,
            parts: Vec::new(),
        };
        for parent in &self.parents {
            let made = group.add(parent);
            if let Err(error) = made {
                let _ = group.remove();
                return Err(error);
            }
        }
        Ok(group)
    }
}

/// Lets the children of a v2 group use `controllers`.
fn enable(group: BorrowedFd<'_>, controllers: &[Controller]) -> Result<(), Errno> {
    let words: Vec<_> = controllers
        .iter()
        .map(|c| format!("+{}", c.name()))
        .collect();
    write_file(group, "cgroup.subtree_control", words.join(" ").as_bytes())
}

/// The groups of one slot, one directory per hierarchy.
#[derive(Debug)]
pub struct Group {
    name: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    v2: bool,
    controllers: Vec<Controller>,
    parent: OwnedFd,
    directory: OwnedFd,
}

impl Group {
    fn add(&mut self, parent: &Parent) -> Result<(), StepError> {
        let name = self.name.as_str();
        let parent_fd = rustix::io::fcntl_dupfd_cloexec(&parent.directory, 0)
            .step(|| "duplicate a cgroup's descriptor".to_owned())?;
        match rustix::fs::mkdirat(&parent_fd, name, Mode::from(0o755)) {
            // Left by a spawner that was killed; nobody else can hold this slot's number.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                let mount = &parent.hierarchy.mount;
                return Err(errno).step(|| format!("make the cgroup {name} in {mount:?}"));
            }
        }
        let directory = open_directory(&parent_fd, Path::new(name))
            .step(|| format!("open the cgroup {name}"))?;
        self.parts.push(Part {
            v2: parent.hierarchy.v2,
            controllers: parent.hierarchy.controllers.clone(),
            parent: parent_fd,
            directory,
        });
        Ok(())
    }

    /// Sets the limits.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn limit(&self, limits: &CgroupLimits) -> Result<(), StepError> {
        for part in &self.parts {
            for controller in &part.controllers {
                part.limit(*controller, limits)?;
            }
        }
        Ok(())
    }

    /// The v2 directory in which a process is to be born, if the host has one.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.parts
            .iter()
            .find(|part| part.v2)
            .map(|part| part.directory.as_fd())
    }

    /// The v1 files to which a process writes `0` to enter.
    ///
    /// # Errors
    /// The file that could not be opened.
    pub fn entrances(&self) -> Result<Vec<OwnedFd>, StepError> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let v1 = self.parts.iter().filter(|part| !part.v2);
        v1.map(|part| rustix::fs::openat(&part.directory, "tasks", flags, Mode::empty()))
            .collect::<Result<_, _>>()
            .step(|| format!("open the entrance of the cgroup {}", self.name))
    }

    /// What the processes in it have used. `cpu_us` is 0 on v1, where the spawner takes it from
    /// the accounts of PID 1.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for part in &self.parts {
            if part.controllers.contains(&Controller::Memory) {
                let (events, peak) = if part.v2 {
                    ("memory.events", "memory.peak")
                } else {
                    ("memory.oom_control", "memory.max_usage_in_bytes")
                };
                usage.oom_kills = part.field(events, "oom_kill").unwrap_or(0);
                usage.peak_memory = part
                    .read(peak)
                    .and_then(|text| text.trim().parse().ok())
                    .unwrap_or(0);
            }
            if part.v2 {
                usage.cpu_us = part.field("cpu.stat", "usage_usec").unwrap_or(0);
            }
        }
        usage
    }

    /// Removes the directories. All processes in them must have ended.
    ///
    /// # Errors
    /// The last error of Linux; the others are removed all the same.
    pub fn remove(&self) -> Result<(), Errno> {
        let mut result = Ok(());
        for part in self.parts.iter().rev() {
            match rustix::fs::unlinkat(&part.parent, self.name.as_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => result = Err(errno),
            }
        }
        result
    }
}

impl Part {
    fn limit(&self, controller: Controller, limits: &CgroupLimits) -> Result<(), StepError> {
        let memory = limits.memory.to_string();
        let quota = (u64::from(limits.cpu_millis) * CPU_PERIOD_US / 1000).max(1000);
        match (controller, self.v2) {
            (Controller::Memory, true) => {
                self.write("memory.max", &memory)?;
                self.write_if_there("memory.swap.max", "0")
            }
            (Controller::Memory, false) => {
                // The limit with swap may never be the lower one, so the order depends on
                // whether the limit rises or falls.
                if self.write("memory.limit_in_bytes", &memory).is_err() {
                    self.write_if_there("memory.memsw.limit_in_bytes", &memory)?;
                    return self.write("memory.limit_in_bytes", &memory);
                }
                self.write_if_there("memory.memsw.limit_in_bytes", &memory)
            }
            (Controller::Cpu, true) => self.write("cpu.max", &format!("{quota} {CPU_PERIOD_US}")),
            (Controller::Cpu, false) => self.write("cpu.cfs_quota_us", &quota.to_string()),
            (Controller::Pids, _) => self.write("pids.max", &limits.pids.to_string()),
        }
    }

    fn write(&self, file: &str, value: &str) -> Result<(), StepError> {
        write_file(self.directory.as_fd(), file, value.as_bytes())
            .step(|| format!("write {value} to the cgroup's {file}"))
    }

    /// Writes a file that Linux has only with swap accounting.
    fn write_if_there(&self, file: &str, value: &str) -> Result<(), StepError> {
        match write_file(self.directory.as_fd(), file, value.as_bytes()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).step(|| format!("write {value} to the cgroup's {file}")),
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.directory, file, flags, Mode::empty()).ok()?;
        let mut buffer = vec![0; MAX_READ];
        let length = rustix::io::read(&fd, &mut buffer).ok()?;
        buffer.truncate(length);
        String::from_utf8(buffer).ok()
    }

    /// The number behind `name` in a file of `name number` lines.
    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file)?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }
}

/// Removes the groups that a killed spawner left of a slot, and ends what still runs in them.
///
/// # Errors
/// Linux's own, for the first directory that could not be removed.
pub fn remove_left(layout: &Layout, name: &str, slot: u32) -> Result<(), Errno> {
    for hierarchy in &layout.hierarchies {
        let path = hierarchy.mount.join(name).join(format!("s{slot}"));
        let members = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It may have ended by itself meanwhile.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        remove_when_empty(&path)?;
    }
    Ok(())
}

/// Removes a group whose last processes are about to end.
fn remove_when_empty(path: &Path) -> Result<(), Errno> {
    /// How often, with a pause of 5 ms, Linux is given time to end killed processes.
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => std::thread::sleep(std::time::Duration::from_millis(5)),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::BUSY)
}

fn open_directory(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

fn write_file(directory: BorrowedFd<'_>, file: &str, value: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, file, flags, Mode::empty())?;
    rustix::io::write(&fd, value).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
36 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct
37 25 0:32 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory
38 25 0:33 / /sys/fs/cgroup/pids rw shared:16 - cgroup cgroup rw,pids
";
    const UNIFIED: &str = "39 25 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn v1_controllers_are_found_where_they_are_mounted() {
        let layout = Layout::find(V1, |_| String::new());
        assert_eq!(layout.kind(), "v1");
        assert_eq!(layout.hierarchies.len(), 3);
        assert_eq!(layout.hierarchies[0].controllers, [Controller::Cpu]);
        assert!(layout.missing.is_empty());
    }

    #[test]
    fn a_v2_hierarchy_without_controllers_is_not_used() {
        let layout = Layout::find(&format!("{V1}{UNIFIED}"), |_| "hugetlb".to_owned());
        assert_eq!(layout.kind(), "v1");
    }

    #[test]
    fn v2_alone_serves_all_controllers() {
        let layout = Layout::find(UNIFIED, |_| "cpuset cpu io memory pids".to_owned());
        assert_eq!(layout.kind(), "v2");
        assert_eq!(layout.hierarchies[0].controllers, Controller::ALL);
    }

    #[test]
    fn a_hybrid_host_serves_each_controller_from_where_it_is() {
        let memory = V1.lines().nth(1).unwrap();
        let layout = Layout::find(&format!("{memory}\n{UNIFIED}"), |_| "cpu pids".to_owned());
        assert_eq!(layout.kind(), "hybrid");
        assert_eq!(
            layout.hierarchies[1].controllers,
            [Controller::Cpu, Controller::Pids]
        );
    }

    #[test]
    fn what_the_host_lacks_is_told() {
        let layout = Layout::find(UNIFIED, |_| "cpu".to_owned());
        assert_eq!(layout.missing, [Controller::Memory, Controller::Pids]);
    }
}
