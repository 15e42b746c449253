//! Zygotes: interpreters that have a template's packages imported and are copied into sandboxes.
//!
//! One for each team and template, because copies share what cannot be made anew: the layout of
//! memory and the hash seed. It takes a slot of its own, and the slot's uid owns the user namespaces
//! of the sandboxes that it serves, which is all the right that its copies need to enter them.
//!
//! ```text
//! agent ── Want ──▶ Supplier ── Join ──▶ spawner ── namespaces, cgroups, socket ──▶ zygote
//!   ▲                  │                    ▲                                          │ copy
//!   └── control socket ┘                    └───────── joined, process id ─────────────┘
//! ```

use crate::core::{Core, Waiting};
use crate::owner;
use crate::template::Template;
use crate::tree_source;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use soulbox_image::zygote::Zygote as Recipe;
use soulbox_model::{TeamId, TemplateName};
use soulbox_runtime::agent_client::{AgentClient, AgentError, Supplies, Want};
use soulbox_runtime::native::driver::{JoinError, Joiner, Slot, wait_gone, zygote_files};
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::spawner::{self, CgroupLimits, Join, ZYGOTE_HOME, ZYGOTE_PROGRAM};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinHandle;

/// How long who wants a copy waits for a zygote that is just being started; then starting an
/// interpreter is quicker.
const PATIENCE: Duration = Duration::from_secs(1);

/// Processes that a zygote may have: copies that are just being made count as its own.
const PIDS: u32 = 256;

/// The most files that a zygote may have open; a copy on its way has some ten of a sandbox's.
const OPEN_FILES: u32 = 4096;

/// The size of a zygote's `/tmp` in bytes: packages write caches when they are imported.
const SCRATCH: u64 = 64 * 1024 * 1024;

/// Copies that one sandbox gets without a pause, and the pause between further ones: what is inside
/// may ask for as many as it likes, and others wait for the same zygote.
const BURST: u32 = 128;
const PAUSE: Duration = Duration::from_millis(50);

/// How far a zygote has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Gone,
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
type Key = (TeamId, TemplateName);

/// The zygotes of an engine.
#[derive(Default)]
pub(crate) struct Zygotes {
    all: Mutex<HashMap<Key, Arc<Zygote>>>,
}

impl Zygotes {
    /// The zygote for a team's sandboxes of a template; begins to start it, as `recipe`
    /// says, when there is none. None where none can be had.
    pub(crate) async fn of(
        &self,
        core: &Core,
        team: &TeamId,
        template: &Arc<Template>,
        recipe: &Recipe,
    ) -> Option<Arc<Zygote>> {
        let settings = &core.settings().zygote;
        // Nobody else may give a zygote a uid of its own.
        if !settings.enabled || !core.may_connect() {
            return None;
        }
        let key = (team.clone(), template.record.name.clone());
        let mut all = self.all.lock().await;
        if let Some(known) = all.get(&key)
            && known.serves(template, settings.copies)
        {
            known.touch();
            return Some(Arc::clone(known));
        }
        // What it has made goes on with it.
        all.remove(&key);
        make_room(&mut all, settings.most as usize);
        match start(core, recipe, template).await {
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
        command: command(recipe),
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
        attend(slot, (order, files), limit, &stage, held, &name).await;
        stage.send_replace(Stage::Gone);
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

/// Starts a zygote and holds its slot until nobody wants it, or it ends.
async fn attend(
    mut slot: Slot,
    (order, files): (spawner::Zygote, Vec<OwnedFd>),
    limit: Duration,
    stage: &watch::Sender<Stage>,
    mut held: oneshot::Receiver<()>,
    template: &TemplateName,
) {
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
        _ = &mut held => return,
    };
    if !started {
        return;
    }
    stage.send_replace(Stage::Ready);
    let mut end = slot.end();
    tokio::select! {
        gone = wait_gone(&mut end) => {
            tracing::warn!(%template, signal = gone.signal, "a zygote ended; the next one is on its way");
        }
        _ = held => {}
    }
}

/// What a zygote runs.
fn command(recipe: &Recipe) -> Vec<String> {
    let program = format!("{ZYGOTE_HOME}/{ZYGOTE_PROGRAM}");
    // No options: copies have the flags of a plain `python3`, which some packages pass on.
    let words = [recipe.python.as_str(), &program, "--broker", "3"];
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    if let Some(kernels) = &recipe.kernels {
        words.extend(["--kernels".to_owned(), kernels.clone()]);
    }
    if !recipe.preload.is_empty() {
        words.extend(["--preload".to_owned(), recipe.preload.join(",")]);
    }
    words
}

/// Why an agent gets no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupplyError {
    #[error("the zygote is not ready")]
    NotReady,
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("cannot make a control socket")]
    Socket(#[source] rustix::io::Errno),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl Zygote {
    /// The host uid that is to own the user namespaces of its sandboxes.
    pub(crate) fn owner(&self) -> u32 {
        owner::of_slot(self.slot)
    }

    fn serves(&self, template: &Arc<Template>, copies: u32) -> bool {
        Arc::ptr_eq(&self.template, template)
            && *self.stage.borrow() != Stage::Gone
            && self.copies.load(Ordering::Relaxed) < copies
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

/// The way of a zygote's copies into one sandbox.
pub struct Supplier {
    agent: AgentClient,
    joiner: Joiner,
    zygote: Arc<Zygote>,
    /// Whether a copy waits in it that nobody has used yet.
    ahead: AtomicBool,
    /// The task that supplies it.
    begun: Mutex<Option<JoinHandle<()>>>,
}

impl Supplier {
    pub(crate) fn new(
        agent: AgentClient,
        joiner: Joiner,
        zygote: Arc<Zygote>,
        ahead: bool,
    ) -> Self {
        Self {
            agent,
            joiner,
            zygote,
            ahead: AtomicBool::new(ahead),
            begun: Mutex::new(None),
        }
    }

    /// Makes sure that the agent gets one copy when it asks: one waits there already, or it is supplied.
    pub async fn begin_for_one(self: &Arc<Self>) {
        if !self.ahead.swap(false, Ordering::Relaxed) {
            self.begin().await;
        }
    }

    /// Begins to supply the sandbox's agent with what it asks for, in a task that ends with the
    /// connection; nothing is done when there is one already. Once this is over, the agent asks.
    pub async fn begin(self: &Arc<Self>) {
        let mut begun = self.begun.lock().await;
        if begun.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        match self.agent.supplies(0).await {
            Ok(supplies) => {
                let supplier = Arc::clone(self);
                *begun = Some(tokio::spawn(async move {
                    if let Err(error) = supplier.supply(supplies, u32::MAX).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, "an agent is supplied no more");
                    }
                }));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an agent is not supplied");
            }
        }
    }

    /// Has one copy join, and wait.
    pub(crate) async fn one_ahead(&self) -> Result<(), SupplyError> {
        let supplies = self.agent.supplies(1).await?;
        self.supply(supplies, 1).await
    }

    async fn supply(&self, mut supplies: Supplies, most: u32) -> Result<(), SupplyError> {
        for number in 0..most {
            if number >= BURST {
                tokio::time::sleep(PAUSE).await;
            }
            let want = supplies.next().await?;
            let copied = self.zygote.copy(&self.joiner, &want).await;
            if let Err(error) = &copied {
                let error = error as &dyn std::error::Error;
                tracing::debug!(error, "no copy of a zygote joined a sandbox");
            }
            let answer =
                copied.map_err(|error| RpcError::new(Code::Unavailable, error.to_string()));
            supplies.answer(want.call, answer).await?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Has a copy of its zygote wait in a sandbox that runs.
    pub(crate) async fn supply_ahead(&mut self, core: &Core) -> Result<(), SupplyError> {
        if let Some(supplier) = self.supplier(core) {
            supplier.one_ahead().await?;
            self.ahead = true;
        }
        Ok(())
    }
}
