//! Cgroups of slots, on v1, hybrid and v2 hosts.
//!
//! Each controller is looked for where the host keeps it: in a v1 hierarchy of its own, or in
//! the v2 hierarchy. A slot gets one directory per hierarchy that holds a controller it needs.
//!
//! A process enters a v1 group by writing `0` to its `tasks` file itself: Linux then moves one
//! thread, the writer, and needs no lock over all processes. Any write to `cgroup.procs` takes
//! that lock and waits for an RCU grace period, about 12 ms when it has not been taken lately
//! (`cgroup_procs_write_start` in Linux's kernel/cgroup/cgroup.c). On v2 it is born in its group.
//!
//! The v2 hierarchy freezes groups and counts their processor time without any controller. Where it
//! offers nothing else and v1 does both too, v1 does: a zygote's copy is born elsewhere, so that it
//! has to enter each group, and must not wait so long.

mod account;
mod ceiling;
mod delegated;
mod freeze;
mod kill;
mod layout;
mod left;
mod limit;
mod processors;

pub use freeze::Freezer;
pub use layout::{Hierarchy, Layout};
pub use left::{remove_left, thaw_left};
pub use processors::Processors;

use super::step::{Step, StepError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use soulbox_wire::spawner::{Ceiling, CgroupLimits};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
    /// Bandwidth of disks.
    Io,
}

impl Controller {
    /// All that a sandbox needs.
    pub const NEEDED: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// All that a sandbox can have.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Pids, Self::Io];

    /// Its name in Linux, on cgroup v2.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }

    /// Its name on cgroup v1.
    pub const fn name_v1(self) -> &'static str {
        match self {
            Self::Io => "blkio",
            other => other.name(),
        }
    }
}

/// The directories below which slots get theirs, opened.
#[derive(Debug)]
pub struct Parents {
    parents: Vec<Rc<Parent>>,
}

/// A hierarchy that sandboxes see, each its own group of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The directory of all slots' groups on the host.
    pub parent: String,
    /// The same in the spawner's mount namespace.
    pub home: String,
    /// Where a sandbox sees its group.
    pub guest: String,
}

#[derive(Debug)]
struct Parent {
    path: PathBuf,
    hierarchy: Hierarchy,
    directory: OwnedFd,
}

impl Parents {
    /// Makes and opens the directory `name` in each hierarchy of `layout`, and sets what all
    /// slots in it may use together.
    ///
    /// # Errors
    /// The step that Linux refused.
    pub fn open(layout: &Layout, name: &str, ceiling: &Ceiling) -> Result<Self, StepError> {
        let mut parents = Vec::new();
        for hierarchy in &layout.hierarchies {
            match Parent::open(hierarchy, name, ceiling) {
                Ok(parent) => parents.push(Rc::new(parent)),
                // Sandboxes do without.
                Err(_) if hierarchy.only_assigns() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { parents })
    }

    /// What sandboxes see of their own groups, so that run-time systems can size themselves.
    pub fn views(&self) -> Vec<View> {
        let hybrid = self.parents.iter().any(|parent| !parent.hierarchy.v2);
        let shown = [Controller::Memory, Controller::Cpu];
        let parents = self
            .parents
            .iter()
            .map(|parent| (&parent.hierarchy, &parent.path));
        parents
            .filter_map(|(hierarchy, path)| {
                let name = shown
                    .iter()
                    .find(|c| hierarchy.controllers.contains(c))?
                    .name();
                let name = match (hierarchy.v2, hybrid) {
                    (true, true) => "/unified",
                    (true, false) => "",
                    (false, _) => &format!("/{name}"),
                };
                Some(View {
                    parent: path.to_str()?.to_owned(),
                    home: format!("/cgroup{name}"),
                    guest: format!("/sys/fs/cgroup{name}"),
                })
            })
            .collect()
    }

    /// Makes the groups of a slot.
    ///
    /// # Errors
    /// The step that Linux refused; what was made is removed again.
    pub fn make(&self, slot: u32) -> Result<Group, StepError> {
        let mut group = Group {
            name: name_of(slot).into(),
            parts: Vec::new(),
            special: Cell::new(false),
            pids: Cell::new(0),
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

impl Parent {
    fn open(hierarchy: &Hierarchy, name: &str, ceiling: &Ceiling) -> Result<Self, StepError> {
        let path = hierarchy.mount.join(name);
        match rustix::fs::mkdir(&path, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).step(|| format!("make the cgroup {path:?}")),
        }
        let directory =
            open_directory(rustix::fs::CWD, &path).step(|| format!("open the cgroup {path:?}"))?;
        if hierarchy.v2 {
            let root = open_directory(rustix::fs::CWD, &hierarchy.mount)
                .step(|| format!("open the cgroup {:?}", hierarchy.mount))?;
            for group in [root.as_fd(), directory.as_fd()] {
                enable(group, hierarchy)
                    .step(|| format!("enable controllers for the cgroup {path:?}"))?;
            }
        } else if hierarchy.assigns {
            processors::share(directory.as_fd())
                .step(|| format!("give all processors to the cgroup {path:?}"))?;
        }
        for controller in &hierarchy.controllers {
            ceiling::set(directory.as_fd(), hierarchy.v2, *controller, ceiling)?;
        }
        Ok(Self {
            path,
            hierarchy: hierarchy.clone(),
            directory,
        })
    }
}

/// The name of a slot's groups.
pub fn name_of(slot: u32) -> String {
    format!("s{slot}")
}

/// Lets the children of a v2 group use what is taken from its hierarchy.
fn enable(group: BorrowedFd<'_>, hierarchy: &Hierarchy) -> Result<(), Errno> {
    let names = hierarchy.controllers.iter().map(|c| c.name());
    let names = names.chain(hierarchy.assigns.then_some(layout::CPUSET));
    let words: Vec<_> = names.map(|name| format!("+{name}")).collect();
    if words.is_empty() {
        return Ok(());
    }
    write_file(group, "cgroup.subtree_control", words.join(" ").as_bytes())
}

/// The groups of one slot, one directory per hierarchy.
#[derive(Debug)]
pub struct Group {
    name: Rc<str>,
    parts: Vec<Part>,
    /// Whether limits were set that few sandboxes have, so that they must be set anew.
    special: Cell<bool>,
    /// The limit of processes.
    pids: Cell<u32>,
}

/// One directory. It is not kept open: many sandboxes would have many descriptors, and every process that is
/// made begins with a copy of all of them.
#[derive(Debug)]
struct Part {
    parent: Rc<Parent>,
    name: Rc<str>,
}

impl Group {
    fn add(&mut self, parent: &Rc<Parent>) -> Result<(), StepError> {
        let name = &*self.name;
        match rustix::fs::mkdirat(&parent.directory, name, Mode::from(0o755)) {
            // Left by a spawner that was killed; nobody else can hold this slot's number.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                let mount = &parent.hierarchy.mount;
                return Err(errno).step(|| format!("make the cgroup {name} in {mount:?}"));
            }
        }
        self.parts.push(Part {
            parent: Rc::clone(parent),
            name: Rc::clone(&self.name),
        });
        Ok(())
    }

    /// Sets the limits.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn limit(&self, limits: &CgroupLimits) -> Result<(), StepError> {
        let special = self.special.get() || limit::are_special(limits);
        self.special.set(special);
        self.pids.set(limits.pids);
        for part in &self.parts {
            for controller in &part.hierarchy().controllers {
                part.limit(*controller, limits, special)?;
            }
        }
        Ok(())
    }

    /// The v2 directory in which a process is to be born, if the host has one.
    ///
    /// # Errors
    /// That it could not be opened.
    pub fn birthplace(&self) -> Result<Option<OwnedFd>, StepError> {
        let v2 = self.parts.iter().find(|part| part.hierarchy().v2);
        let open = |part: &Part| open_directory(&part.parent.directory, Path::new(&*part.name));
        let opened = v2.map(open).transpose();
        opened.step(|| format!("open the cgroup {}", self.name))
    }

    /// The v1 files to which a process writes `0` to enter.
    ///
    /// # Errors
    /// The file that could not be opened.
    pub fn entrances(&self) -> Result<Vec<OwnedFd>, StepError> {
        let v1 = self.parts.iter().filter(|part| !part.hierarchy().v2);
        v1.map(|part| part.open("tasks", OFlags::WRONLY))
            .collect::<Result<_, _>>()
            .step(|| format!("open the entrance of the cgroup {}", self.name))
    }

    /// The files to which a process of elsewhere writes `0` to enter: those of v1, and on v2 the one
    /// that takes whole processes.
    ///
    /// # Errors
    /// The file that could not be opened.
    pub fn entrances_from_elsewhere(&self) -> Result<Vec<OwnedFd>, StepError> {
        let open = |part: &Part| match part.hierarchy().v2 {
            true => part.open("cgroup.procs", OFlags::WRONLY),
            false => part.open("tasks", OFlags::WRONLY),
        };
        let opened = self.parts.iter().map(open).collect::<Result<_, _>>();
        opened.step(|| format!("open the entrances of the cgroup {}", self.name))
    }

    /// Removes the directories. All processes in them must have ended.
    ///
    /// # Errors
    /// The last error of Linux; the others are removed all the same.
    pub fn remove(&self) -> Result<(), Errno> {
        let mut result = Ok(());
        for part in self.parts.iter().rev() {
            let parent = &part.parent.directory;
            match rustix::fs::unlinkat(parent, &*self.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => result = Err(errno),
            }
        }
        result
    }
}

impl Part {
    fn hierarchy(&self) -> &Hierarchy {
        &self.parent.hierarchy
    }

    fn open(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (parent, path) = (&self.parent.directory, format!("{}/{file}", self.name));
        rustix::fs::openat(parent, path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn set(&self, file: &str, value: &str) -> Result<(), Errno> {
        let file = self.open(file, OFlags::WRONLY)?;
        rustix::io::write(&file, value.as_bytes()).map(|_| ())
    }

    fn write(&self, file: &str, value: &str) -> Result<(), StepError> {
        self.set(file, value)
            .step(|| format!("write {value} to the cgroup's {file}"))
    }

    /// Writes a file that Linux has only with swap accounting.
    fn write_if_there(&self, file: &str, value: &str) -> Result<(), StepError> {
        match self.set(file, value) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).step(|| format!("write {value} to the cgroup's {file}")),
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        let file = self.open(file, OFlags::RDONLY).ok()?;
        let mut buffer = vec![0; MAX_READ];
        let length = rustix::io::read(&file, &mut buffer).ok()?;
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

fn open_directory(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

fn write_file(directory: BorrowedFd<'_>, file: &str, value: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, file, flags, Mode::empty())?;
    rustix::io::write(&fd, value).map(|_| ())
}
