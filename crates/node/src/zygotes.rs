//! Zygotes: interpreters that have a template's packages imported and are copied into sandboxes.
//!
//! One for each team and template and for what it has loaded, because copies share what cannot be made
//! anew: the layout of memory and the hash seed; and because a copy costs by what is loaded. It takes a slot of its own, and the slot's uid owns the user namespaces
//! of the sandboxes that it serves, which is all the right that its copies need to enter them.
//!
//! ```text
//! agent ── Want ──▶ Supplier ── Join ──▶ spawner ── namespaces, cgroups, socket ──▶ zygote
//!   ▲                  │                    ▲                                          │ copy
//!   └── control socket ┘                    └───────── joined, process id ─────────────┘
//! ```

mod supplier;

pub use supplier::Supplier;

use crate::core::Core;
use crate::owner;
use crate::template::Template;
use crate::tree_source;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};
use soulbox_image::zygote::Zygote as Recipe;
use soulbox_model::{TeamId, TemplateName};
use soulbox_runtime::agent_client::Want;
use soulbox_runtime::native::driver::{Joiner, Slot, wait_gone, zygote_files};
use soulbox_wire::spawner::{self, CgroupLimits, Join, ZYGOTE_HOME, ZYGOTE_PROGRAM};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use supplier::SupplyError;
use tokio::sync::{Mutex, oneshot, watch};

/// How long who wants a copy waits for a zygote that is just being started; then starting an
/// interpreter is quicker.
const PATIENCE: Duration = Duration::from_secs(1);

/// Processes that a zygote may have: copies that are just being made count as its own.
const PIDS: u32 = 256;

/// The most files that a zygote may have open; a copy on its way has some ten of a sandbox's.
const OPEN_FILES: u32 = 4096;

/// The size of a zygote's `/tmp` in bytes: packages write caches when they are imported.
const SCRATCH: u64 = 64 * 1024 * 1024;

/// How long nobody tries again after a zygote that did not come to be ready: what kept it from that,
/// such as a package that cannot be imported, mostly lasts, and each try takes a processor for a while.
const REST: Duration = Duration::from_secs(30);

/// What a zygote has loaded, and so what its copies are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loaded {
    /// Python alone: the cheapest, for scripts that need no more.
    Plain,
    /// The packages that the template names.
    Packages,
    /// These, and the Python kernel.
    Kernel,
    /// Node.js. Its process is no copy of a zygote, which V8's threads do not allow: each sandbox starts its
    /// own while it waits.
    JavaScript,
}

impl Loaded {
    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Packages => "packages",
            Self::Kernel => "kernel",
            Self::JavaScript => "javascript",
        }
    }

    /// What a template's zygote is to have loaded for a sandbox: for a script, one that imports packages
    /// or one that does not; else for contexts, where there are kernels.
    pub(crate) fn wanted(recipe: Option<&Recipe>, script: Option<Script>) -> Option<Self> {
        match (script, recipe) {
            (Some(Script::JavaScript), _) => Some(Self::JavaScript),
            (Some(Script::Packages), Some(recipe)) if !recipe.preload.is_empty() => {
                Some(Self::Packages)
            }
            (Some(_), Some(_)) => Some(Self::Plain),
            (None, Some(recipe)) => recipe.kernels.is_some().then_some(Self::Kernel),
            (_, None) => None,
        }
    }
}

/// A script that a sandbox is made to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// One that needs no more than an interpreter, if that.
    Plain,
    /// One that imports what Python does not come with.
    Packages,
    /// One that Node.js runs.
    JavaScript,
}

/// Whose zygote's copies are to join a sandbox, and what that one has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Copies {
    /// The team.
    pub(crate) team: TeamId,
    /// What its zygote has loaded.
    pub(crate) loaded: Loaded,
}

impl Copies {
    /// Those of a team, if any are wanted.
    pub(crate) fn of(team: Option<&TeamId>, loaded: Option<Loaded>) -> Option<Self> {
        let team = team?.clone();
        Some(Self {
            team,
            loaded: loaded?,
        })
    }
}

/// How far a zygote has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Gone,
    /// It never was ready.
    Failed,
}

impl Stage {
    fn is_over(self) -> bool {
        matches!(self, Self::Gone | Self::Failed)
    }
}

/// One zygote. It ends when nobody holds it any more.
pub(crate) struct Zygote {
    slot: u32,
    template: Arc<Template>,
    stage: watch::Receiver<Stage>,
    copies: AtomicU32,
    /// When it was used last, in milliseconds since `begun`.
    used: AtomicU64,
    begun: Instant,
    /// Dropped with it, which ends its process.
    _holder: oneshot::Sender<()>,
}

/// Whose copies a zygote's may be.
type Key = (Copies, TemplateName);

/// The zygotes of an engine.
#[derive(Default)]
pub(crate) struct Zygotes {
    all: Mutex<HashMap<Key, Arc<Zygote>>>,
}

impl Zygotes {
    /// The zygote for some sandboxes of a template; begins to start it, as `recipe` says, when there is
    /// none. None where none can be had.
    pub(crate) async fn of(
        &self,
        core: &Core,
        copies: &Copies,
        template: &Arc<Template>,
        recipe: &Recipe,
    ) -> Option<Arc<Zygote>> {
        let settings = &core.settings().zygote;
        if copies.loaded == Loaded::JavaScript {
            return None;
        }
        // Nobody else may give a zygote a uid of its own.
        if !settings.enabled || !core.may_connect() {
            return None;
        }
        let key = (copies.clone(), template.record.name.clone());
        let mut all = self.all.lock().await;
        if let Some(known) = all.get(&key) {
            if known.rests(template) {
                return None;
            }
            if known.serves(template, settings.copies) {
                known.touch();
                return Some(Arc::clone(known));
            }
        }
        // What it has made goes on with it.
        all.remove(&key);
        make_room(&mut all, settings.most as usize);
        match start(core, copies.loaded, recipe, template).await {
            Ok(zygote) => {
                let zygote = Arc::new(zygote);
                all.insert(key, Arc::clone(&zygote));
                Some(zygote)
            }
            Err(error) => {
                let error = &*error as &dyn std::error::Error;
                let template = template.record.name.as_str();
                tracing::warn!(
                    template,
                    error,
                    "there is no zygote: interpreters start cold"
                );
                None
            }
        }
    }

    /// Lets go of all of them.
    pub(crate) async fn close(&self) {
        self.all.lock().await.clear();
    }
}

/// Lets go of those that were not used for the longest time until there is room for one more.
fn make_room(all: &mut HashMap<Key, Arc<Zygote>>, most: usize) {
    while all.len() >= most.max(1) {
        let idlest = all.iter().min_by_key(|(_, zygote)| zygote.last_used());
        let Some(key) = idlest.map(|(key, _)| key.clone()) else {
            return;
        };
        all.remove(&key);
    }
}

type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Takes a slot, and begins to start a zygote in it.
async fn start(
    core: &Core,
    loaded: Loaded,
    recipe: &Recipe,
    template: &Arc<Template>,
) -> Result<Zygote, StartError> {
    let slot = core.take_slot().await?;
    let number = slot.number();
    let settings = &core.settings().zygote;
    let memory = settings.memory.bytes();
    let mut layers = tree_source::layers(template, core.ids)?;
    layers.iter_mut().for_each(|layer| layer.read_only = true);
    let order = spawner::Zygote {
        slot: number,
        owner: owner::of_slot(number),
        layers,
        command: command(recipe, loaded),
        limits: CgroupLimits {
            cpu_millis: 1000,
            cpu_weight: 100,
            memory,
            memory_reserved: memory,
            pids: PIDS,
            io: Vec::new(),
        },
        open_files: OPEN_FILES,
        scratch: SCRATCH,
        keeps: true,
    };
    let files = vec![zygote_files()?, template.copy_lock()?];
    let (stage, watched) = watch::channel(Stage::Starting);
    let (holder, held) = oneshot::channel();
    let limit = settings.start_timeout;
    let name = template.record.name.clone();
    tokio::spawn(async move {
        let last = attend(slot, (order, files), limit, &stage, held, &name).await;
        stage.send_replace(last);
    });
    Ok(Zygote {
        slot: number,
        template: Arc::clone(template),
        stage: watched,
        copies: AtomicU32::new(0),
        used: AtomicU64::new(0),
        begun: Instant::now(),
        _holder: holder,
    })
}

/// Starts a zygote and holds its slot until nobody wants it, or it ends; gives its last stage.
async fn attend(
    mut slot: Slot,
    (order, files): (spawner::Zygote, Vec<OwnedFd>),
    limit: Duration,
    stage: &watch::Sender<Stage>,
    mut held: oneshot::Receiver<()>,
    template: &TemplateName,
) -> Stage {
    let starting = async {
        let started = tokio::time::timeout(limit, slot.start_zygote(order, files)).await;
        match started {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%template, error, "the zygote does not start");
            }
            Err(_) => tracing::warn!(
                %template,
                ?limit,
                "the zygote is not ready in time (setting zygote.start_timeout)"
            ),
        }
        false
    };
    let started = tokio::select! {
        started = starting => started,
        _ = &mut held => return Stage::Gone,
    };
    if !started {
        return Stage::Failed;
    }
    stage.send_replace(Stage::Ready);
    let mut end = slot.end();
    tokio::select! {
        gone = wait_gone(&mut end) => {
            tracing::warn!(%template, signal = gone.signal, "a zygote ended; the next one is on its way");
        }
        _ = held => {}
    }
    Stage::Gone
}

/// What a zygote runs.
fn command(recipe: &Recipe, loaded: Loaded) -> Vec<String> {
    let program = format!("{ZYGOTE_HOME}/{ZYGOTE_PROGRAM}");
    // No options: copies have the flags of a plain `python3`, which some packages pass on.
    let words = [recipe.python.as_str(), &program, "--broker", "3"];
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    if loaded == Loaded::Kernel
        && let Some(kernels) = &recipe.kernels
    {
        words.extend(["--kernels".to_owned(), kernels.clone()]);
    }
    if loaded != Loaded::Plain && !recipe.preload.is_empty() {
        words.extend(["--preload".to_owned(), recipe.preload.join(",")]);
    }
    words
}

impl Zygote {
    /// The host uid that is to own the user namespaces of its sandboxes.
    pub(crate) fn owner(&self) -> u32 {
        owner::of_slot(self.slot)
    }

    fn serves(&self, template: &Arc<Template>, copies: u32) -> bool {
        Arc::ptr_eq(&self.template, template)
            && !self.stage.borrow().is_over()
            && self.copies.load(Ordering::Relaxed) < copies
    }

    /// Whether it failed so lately that another one would too.
    fn rests(&self, template: &Arc<Template>) -> bool {
        Arc::ptr_eq(&self.template, template)
            && *self.stage.borrow() == Stage::Failed
            && self.begun.elapsed() < REST
    }

    fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    fn last_used(&self) -> Instant {
        self.begun + Duration::from_millis(self.used.load(Ordering::Relaxed))
    }

    /// Has a copy join a sandbox; gives its id inside and the other end of its control socket.
    async fn copy(&self, joiner: &Joiner, want: &Want) -> Result<(u32, OwnedFd), SupplyError> {
        let mut stage = self.stage.clone();
        let ready = async {
            let stage = stage.wait_for(|stage| *stage != Stage::Starting).await;
            stage.is_ok_and(|stage| *stage == Stage::Ready)
        };
        if !tokio::time::timeout(PATIENCE, ready).await.unwrap_or(false) {
            return Err(SupplyError::NotReady);
        }
        self.touch();
        self.copies.fetch_add(1, Ordering::Relaxed);
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let (agents, copys) = pair.map_err(SupplyError::Socket)?;
        let join = Join {
            slot: joiner.slot(),
            zygote: self.slot,
            uid: want.uid,
            gid: want.gid,
            groups: want.groups.clone(),
            directory: want.directory.clone(),
        };
        let joined = joiner.join(join, copys).await?;
        Ok((joined.pid, agents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(kernels: bool, preload: &[&str]) -> Recipe {
        Recipe {
            python: "/usr/bin/python3".to_owned(),
            kernels: kernels.then(|| "/k".to_owned()),
            preload: preload.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn a_zygote_has_loaded_what_its_copies_are_for_and_not_more() {
        let full = recipe(true, &["numpy", "pandas"]);
        let (plain, packages) = (Some(Script::Plain), Some(Script::Packages));
        let wanted = |recipe: &Recipe, script| Loaded::wanted(Some(recipe), script);
        assert_eq!(wanted(&full, None), Some(Loaded::Kernel));
        assert_eq!(wanted(&full, packages), Some(Loaded::Packages));
        assert_eq!(wanted(&full, plain), Some(Loaded::Plain));
        let bare = recipe(false, &[]);
        assert_eq!(wanted(&bare, None), None);
        assert_eq!(wanted(&bare, packages), Some(Loaded::Plain));
        // Whether there is a Node.js is found out by starting it.
        let node = Some(Script::JavaScript);
        assert_eq!(wanted(&bare, node), Some(Loaded::JavaScript));
        assert_eq!(Loaded::wanted(None, node), Some(Loaded::JavaScript));
        assert_eq!(Loaded::wanted(None, plain), None);

        let words = |loaded| command(&full, loaded).join(" ");
        let plain = words(Loaded::Plain);
        assert!(plain.ends_with("--broker 3"), "{plain}");
        let packages = words(Loaded::Packages);
        assert_eq!(packages, format!("{plain} --preload numpy,pandas"));
        let kernel = words(Loaded::Kernel);
        assert_eq!(
            kernel,
            format!("{plain} --kernels /k --preload numpy,pandas")
        );
    }
}
