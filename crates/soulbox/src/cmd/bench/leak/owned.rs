//! What belongs to an engine, and how much of it is still there when it must not be. Other engines
//! and everything else on the machine may come and go meanwhile: nothing of theirs is counted.

use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_node::lease::{ID_BASE, Record, Table};
use soulbox_runtime::native::cgroup::{Layout, name_of};
use soulbox_runtime::native::identity::Identity;
use soulbox_runtime::native::network::{firewall, link};
use soulbox_settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Linux takes network namespaces down in the background, 30 to 130 ms after their last process;
/// a busy machine takes longer.
const SETTLE: Duration = Duration::from_secs(10);
/// How often is looked at least before something counts as left.
const LOOKS: u32 = 20;
/// How often is looked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The ids of a slot.
const IDS: u32 = 65_536;

/// The kinds of things that are counted, in the order in which they are told.
pub(super) const KINDS: [&str; 8] = [
    "processes",
    "namespaces",
    "mounts of the host",
    "cgroups",
    "links of the network",
    "rules of the network",
    "files",
    "slots",
];

/// Things by their kind.
pub(super) type Left = BTreeMap<&'static str, BTreeSet<String>>;

/// What one engine or several have.
#[derive(Default, Clone)]
struct Belongings {
    /// The names of the engines.
    engines: BTreeSet<String>,
    slots: BTreeSet<u32>,
    processes: Vec<Identity>,
    namespaces: BTreeSet<PathBuf>,
}

/// What engines of ours have or had.
pub(super) struct Owned {
    run: PathBuf,
    data: PathBuf,
    machine: PathBuf,
    table: Table,
    layout: Layout,
    all: Belongings,
}

impl Owned {
    /// Nothing yet, of engines with these settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let paths = &settings.paths;
        let table = Table::open(&paths.machine_dir);
        Ok(Self {
            run: paths.run_dir.join("engines"),
            data: paths.data_dir.join("sandboxes"),
            machine: paths.machine_dir.clone(),
            table: table.map_err(|error| Failure::of(Exit::HOST, &error))?,
            layout: Layout::of_host().unwrap_or_default(),
            all: Belongings::default(),
        })
    }

    /// Notes what the engine with the process id `engine` has now.
    pub(super) fn note(&mut self, engine: u32) {
        let now = self.of(engine);
        self.all.engines.extend(now.engines);
        self.all.slots.extend(now.slots);
        self.all.processes.extend(now.processes);
        self.all.namespaces.extend(now.namespaces);
    }

    /// Notes a sandbox by its slot and first process.
    pub(super) fn note_sandbox(&mut self, slot: u32, pid: u32) {
        self.all.slots.insert(slot);
        self.all.processes.extend(Identity::of(pid));
        self.all.namespaces.extend(namespaces(pid));
    }

    fn of(&self, engine: u32) -> Belongings {
        let start = format!("{engine}-");
        let engines: BTreeSet<_> = [&self.run, &self.data, &self.machine.join("engines")]
            .into_iter()
            .flat_map(|directory| names(directory))
            .filter(|name| name.starts_with(&start))
            .collect();
        let slots = self.held_by(&engines).map(|record| record.slot).collect();
        let spawners = spawners(engine);
        let firsts: Vec<_> = spawners.iter().flat_map(|pid| children(*pid)).collect();
        let all = spawners.into_iter().chain(firsts);
        let (mut processes, mut seen) = (Vec::new(), BTreeSet::new());
        for pid in all {
            processes.extend(Identity::of(pid));
            seen.extend(namespaces(pid));
        }
        Belongings {
            engines,
            slots,
            processes,
            namespaces: seen,
        }
    }

    /// The records of the table that name one of these engines.
    fn held_by(&self, engines: &BTreeSet<String>) -> impl Iterator<Item = Record> {
        let marks: BTreeSet<_> = engines.iter().filter_map(|name| mark_of(name)).collect();
        let held = self.table.held().unwrap_or_default().into_iter();
        held.filter(move |record| marks.contains(&record.engine))
    }

    /// What is left of all that was noted, but for what the living engine `alive` has. Waits for
    /// what Linux clears away in the background: left is what was there at every look. An engine
    /// that lives goes on meanwhile, so that there is always something that is just going, or in a
    /// slot that was nobody's when the look began.
    pub(super) fn left(&self, alive: Option<u32>) -> Left {
        let begin = Instant::now();
        let mut left = self.look(alive);
        let mut looks = 1;
        while !left.values().all(BTreeSet::is_empty) && (begin.elapsed() <= SETTLE || looks < LOOKS)
        {
            std::thread::sleep(LOOK_AGAIN);
            looks += 1;
            let now = self.look(alive);
            for (kind, things) in &mut left {
                things.retain(|thing| now.get(kind).is_some_and(|now| now.contains(thing)));
            }
        }
        left
    }

    fn look(&self, alive: Option<u32>) -> Left {
        let now = alive.map(|pid| self.of(pid)).unwrap_or_default();
        let dead: BTreeSet<_> = self.all.engines.difference(&now.engines).cloned().collect();
        let slots = self.free_slots();
        let known = self.all.processes.iter();
        let known = known.filter(|process| !now.processes.contains(process) && process.lives());
        let processes: BTreeSet<_> = known
            .map(|process| process.pid)
            .chain(of_slots(&slots))
            .collect();
        let files = |name: &String| {
            let machine = self.machine.join("engines").join(name);
            let all = [self.run.join(name), self.data.join(name), machine];
            all.into_iter()
                .filter(|path| path.exists())
                .map(|path| path.display().to_string())
        };
        let namespaces = self.all.namespaces.difference(&now.namespaces);
        let left = [
            processes.iter().map(u32::to_string).collect(),
            still_used(&namespaces.cloned().collect(), &processes),
            self.mounts(&dead),
            self.groups(&slots),
            links(&slots),
            self.rules(),
            dead.iter().flat_map(files).collect(),
            self.held_by(&dead)
                .map(|record| record.slot.to_string())
                .collect(),
        ];
        KINDS.into_iter().zip(left).collect()
    }

    /// The slots that were ours and are nobody's now.
    fn free_slots(&self) -> BTreeSet<u32> {
        let held = self.table.held().unwrap_or_default();
        let held = held.iter().map(|record| record.slot).collect();
        self.all.slots.difference(&held).copied().collect()
    }

    fn mounts(&self, engines: &BTreeSet<String>) -> BTreeSet<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = |line: &&str| {
            engines
                .iter()
                .any(|name| line.contains(&format!("/{name}")))
        };
        mounts.lines().filter(ours).map(str::to_owned).collect()
    }

    fn groups(&self, slots: &BTreeSet<u32>) -> BTreeSet<String> {
        let hierarchies = self.layout.hierarchies.iter();
        let parents: Vec<_> = hierarchies
            .map(|hierarchy| hierarchy.mount.join("soulbox"))
            .collect();
        let all = slots
            .iter()
            .flat_map(|slot| parents.iter().map(|parent| parent.join(name_of(*slot))));
        all.filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect()
    }

    fn rules(&self) -> BTreeSet<String> {
        match firewall::is_forsaken(&self.machine) {
            Ok(false) => BTreeSet::new(),
            Ok(true) => BTreeSet::from(["the walls of the network".to_owned()]),
            Err(error) => BTreeSet::from([error.to_string()]),
        }
    }
}

/// The links of these slots that are there.
fn links(slots: &BTreeSet<u32>) -> BTreeSet<String> {
    let names = slots.iter().map(|slot| link::host_name(*slot));
    names
        .filter(|name| Path::new("/sys/class/net").join(name).exists())
        .collect()
}

/// The processes that run as an id of these slots, whoever their parent is now.
fn of_slots(slots: &BTreeSet<u32>) -> Vec<u32> {
    let uid = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_whitespace().next()?.parse::<u32>().ok()
    };
    let slot = |pid: u32| Some(uid(pid)?.checked_sub(ID_BASE)? / IDS);
    processes()
        .filter(|pid| slot(*pid).is_some_and(|slot| slots.contains(&slot)))
        .collect()
}

/// Those of these namespaces that one of `processes` is in. Others' do not count: Linux gives the
/// number of a namespace that is gone to the next one that anybody makes.
fn still_used(wanted: &BTreeSet<PathBuf>, processes: &BTreeSet<u32>) -> BTreeSet<String> {
    let used = processes.iter().flat_map(|pid| links_of(*pid));
    let used = used.filter(|link| wanted.contains(link));
    used.map(|link| link.display().to_string()).collect()
}

/// The namespaces of a process that are not this one's too.
fn namespaces(pid: u32) -> BTreeSet<PathBuf> {
    let ours: BTreeSet<_> = links_of(std::process::id()).collect();
    links_of(pid).filter(|link| !ours.contains(link)).collect()
}

fn links_of(pid: u32) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter();
    let entries = entries.flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The spawners of an engine: one, or none while it starts another.
pub(super) fn spawners(engine: u32) -> Vec<u32> {
    let is_spawner = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.starts_with(b"soulbox-spawner\0")
    };
    children(engine).into_iter().filter(is_spawner).collect()
}

/// The children of a process, whichever of its threads made them.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let threads = names(Path::new(&format!("/proc/{pid}/task")));
    let lists = threads.into_iter().filter_map(|thread| {
        fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).ok()
    });
    let numbers = |list: String| -> Vec<u32> {
        list.split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect()
    };
    lists.flat_map(numbers).collect()
}

fn mark_of(engine: &str) -> Option<u32> {
    u32::from_str_radix(engine.rsplit_once('-')?.1, 16).ok()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
