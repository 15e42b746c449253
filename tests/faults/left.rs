//! What belongs to servers of one home, and how much of it is there when it must not be. Other engines of the
//! machine come and go meanwhile: nothing of theirs is counted.

use crate::ground::{Process, below, soon};
use soulbox_node::lease;
use soulbox_tests::server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where all engines of the machine note themselves and their slots.
const MACHINE: &str = "/run/soulbox/machine";

/// What servers of one home have had.
pub(crate) struct Left {
    home: String,
    had: Mutex<Had>,
}

#[derive(Default)]
struct Had {
    slots: BTreeSet<u32>,
    processes: Vec<Process>,
}

impl Left {
    /// Nothing yet, of servers in this home.
    pub(crate) fn of(home: &Path) -> Self {
        Self {
            home: home.to_str().expect("UTF-8").to_owned(),
            had: Mutex::default(),
        }
    }

    /// Notes what a server has now.
    pub(crate) fn note(&self, server: &Server) {
        let now = self.processes(server);
        let mut had = self.had.lock().expect("no panic");
        had.slots.extend(self.held());
        for process in now {
            if !had.processes.contains(&process) {
                had.processes.push(process);
            }
        }
    }

    /// Notes the slots that are held now: the quick part of [`Left::note`].
    pub(crate) fn note_slots(&self) {
        let held = self.held();
        self.had.lock().expect("no panic").slots.extend(held);
    }

    /// The processes that a server has: below itself, and, where it took it over, its spawner with those below.
    pub(crate) fn processes(&self, server: &Server) -> Vec<Process> {
        let spawners = self.spawners();
        let mut found: Vec<Process> = spawners
            .iter()
            .filter_map(|pid| Process::read(*pid))
            .collect();
        let roots = [server.pid().as_raw_nonzero().get()].into_iter();
        for process in below(roots.chain(spawners).collect()) {
            if !found.contains(&process) {
                found.push(process);
            }
        }
        found
    }

    /// The spawners, by their process ids, that hold slots.
    pub(crate) fn spawners(&self) -> BTreeSet<i32> {
        let holders = self.records().into_iter().map(|record| record.holder.pid);
        holders.map(|pid| pid.try_into().expect("an id")).collect()
    }

    /// The slots that engines of this home hold.
    pub(crate) fn held(&self) -> BTreeSet<u32> {
        let records = self.records().into_iter();
        records.map(|record| record.slot).collect()
    }

    fn records(&self) -> Vec<lease::Record> {
        let marks: BTreeSet<u32> = self.notes().iter().filter_map(|note| mark(note)).collect();
        let mut records = slots();
        records.retain(|record| marks.contains(&record.engine));
        records
    }

    /// The notes that engines of this home have in the machine's directory.
    fn notes(&self) -> Vec<PathBuf> {
        let notes = fs::read_dir(Path::new(MACHINE).join("engines"));
        let paths = notes.into_iter().flatten().flatten();
        let ours =
            |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&self.home));
        paths.map(|entry| entry.path()).filter(ours).collect()
    }

    /// The control groups of slots that were ours and are nobody's now.
    fn groups(&self) -> Vec<PathBuf> {
        let held: BTreeSet<u32> = slots().iter().map(|record| record.slot).collect();
        let had = self.had.lock().expect("no panic");
        let free = had.slots.difference(&held).copied();
        let free: BTreeSet<u32> = free.collect();
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        let mut parents: Vec<_> = hierarchies.flatten().map(|entry| entry.path()).collect();
        parents.push(PathBuf::from("/sys/fs/cgroup"));
        let all = parents.iter().flat_map(|parent| {
            let group = |slot: &u32| parent.join("soulbox").join(format!("s{slot}"));
            free.iter().map(group)
        });
        all.filter(|group| group.exists()).collect()
    }

    /// The links of networks of such slots.
    fn links(&self) -> Vec<PathBuf> {
        let held: BTreeSet<u32> = slots().iter().map(|record| record.slot).collect();
        let had = self.had.lock().expect("no panic");
        let free = had.slots.difference(&held);
        let link = |slot: &u32| Path::new("/sys/class/net").join(format!("sbx{slot}"));
        free.map(link).filter(|link| link.exists()).collect()
    }

    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let ours = mounts.lines().filter(|line| line.contains(&self.home));
        ours.map(str::to_owned).collect()
    }

    fn running(&self) -> Vec<Process> {
        let had = self.had.lock().expect("no panic");
        let running = had.processes.iter().filter(|process| process.runs());
        running.cloned().collect()
    }

    /// Asserts that nothing is left once no server of this home runs; Linux takes a moment for some of it.
    #[track_caller]
    pub(crate) fn is_nothing(&self) {
        soon(
            || format!("processes {:?}", self.running()),
            || self.running().is_empty(),
        );
        soon(
            || format!("notes {:?}", self.notes()),
            || self.notes().is_empty(),
        );
        soon(
            || format!("slots {:?}", self.held()),
            || self.held().is_empty(),
        );
        soon(
            || format!("groups {:?}", self.groups()),
            || self.groups().is_empty(),
        );
        soon(
            || format!("links {:?}", self.links()),
            || self.links().is_empty(),
        );
        soon(
            || format!("mounts {:?}", self.mounts()),
            || self.mounts().is_empty(),
        );
        let had = self.had.lock().expect("no panic");
        assert!(!had.slots.is_empty(), "none of it was ever there");
    }
}

/// The mark in the name of an engine's note, `<process id>-<mark>`.
fn mark(note: &Path) -> Option<u32> {
    let name = note.file_name()?.to_str()?;
    u32::from_str_radix(name.rsplit_once('-')?.1, 16).ok()
}

fn slots() -> Vec<lease::Record> {
    let table = fs::read(Path::new(MACHINE).join("slots"));
    lease::read(&table.unwrap_or_default())
}
