//! What the engine keeps ready: slots for everybody, sandboxes of the kinds it was told, and of those
//! that are asked for, as many as the demand wants ([`soulbox_scheduler::demand`]).
//!
//! | Pool | What is done already | Left to do |
//! |---|---|---|
//! | slots | network namespace, cgroups | clone, tree, agent |
//! | prepared | the above, clone, tree | limits, agent |
//! | parked | everything | hand out |
//!
//! Nothing in them holds a token, metadata or environment, and nothing that was used comes back.

use crate::core::{Core, Waiting};
use crate::node::CreateError;
use crate::pool::{Level, Pool};
use soulbox_model::{Limits, SandboxSpec, TeamId};
use soulbox_scheduler::{Bounds, Demand};
use soulbox_settings::Settings;
use soulbox_settings::section::Pool as PoolSettings;
use soulbox_wire::spawner::{Network, StopAt};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How full the pools of one name are, and what they gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLevel {
    /// `slots`, `prepared` or `parked`.
    pub pool: &'static str,
    /// How many wait.
    pub ready: usize,
    /// How many are to wait.
    pub wanted: usize,
    /// How many were taken.
    pub taken: u64,
    /// How often there was none to take, although some were to wait.
    pub misses: u64,
}

/// The pools of an engine.
pub(crate) struct Pools {
    /// Slots without network.
    pub(crate) slots: Arc<Pool<Waiting>>,
    kinds: Mutex<Vec<Arc<Kind>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    begun: Instant,
}

/// Kinds that are kept at once; the one that nobody has asked for longest makes room.
const KINDS: usize = 64;

/// How often targets are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long one takes to be made and the next to be begun, in milliseconds, on a machine that has
/// other things to do.
const LEAD: u64 = 500;

/// What one that waits is counted with in the memory of the pools, in bytes: alone, and with a copy of
/// a zygote in it.
const EACH: (u64, u64) = (1024 * 1024, 6 * 1024 * 1024);

/// Ready sandboxes of one kind.
pub(crate) struct Kind {
    /// What they are.
    pub(crate) spec: SandboxSpec,
    /// Whose they will be, where that matters: those of one team share a zygote.
    team: Option<TeamId>,
    /// Made but for the agent.
    pub(crate) prepared: Arc<Pool<Waiting>>,
    /// Complete.
    pub(crate) parked: Arc<Pool<Waiting>>,
    /// How many are to wait whatever the demand.
    least: u32,
    demand: Mutex<Demand>,
    /// What refills it; ended with it.
    refills: Mutex<Vec<JoinHandle<()>>>,
}

/// The pool of one kind, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct KindLevel {
    /// What they are.
    pub spec: SandboxSpec,
    /// Whose, if only one team's.
    pub team: Option<TeamId>,
    /// How full it is.
    pub level: PoolLevel,
    /// How many are asked for in a second, as a moving average.
    pub rate: f64,
}

impl Kind {
    /// What one is counted with, in bytes.
    fn each(&self) -> u64 {
        match self.team {
            Some(_) => EACH.1,
            None => EACH.0,
        }
    }

    fn is_for(&self, spec: &SandboxSpec) -> bool {
        let limits = Limits {
            cpu_millis: spec.limits.cpu_millis,
            cpu_weight: spec.limits.cpu_weight,
            pids: spec.limits.pids,
            ..self.spec.limits
        };
        let made = SandboxSpec {
            limits,
            ..self.spec.clone()
        };
        *spec == made
    }

    fn close(&self) {
        lock(&self.refills).drain(..).for_each(|task| task.abort());
        drop(self.prepared.close());
        drop(self.parked.close());
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pools {
    /// Begins to fill the pool of slots.
    pub(crate) fn start(core: &Arc<Core>) -> Self {
        let pools = Self {
            slots: Arc::new(Pool::new(core.settings().pool.slots as usize)),
            kinds: Mutex::default(),
            tasks: Mutex::default(),
            begun: Instant::now(),
        };
        let core = Arc::clone(core);
        pools.fill(&pools.slots, move || {
            let core = Arc::clone(&core);
            async move {
                core.calm.come().await;
                core.make_slot(Network::None).await
            }
        });
        pools
    }

    /// Begins to keep sandboxes like `spec`, which has no mounts, ready, as many as the settings say and
    /// more if they are asked for. `team`: whose they will be, if only one team's.
    pub(crate) fn keep(&self, core: &Arc<Core>, spec: SandboxSpec, team: Option<TeamId>) {
        let wanted = &core.settings().pool;
        let (prepared, parked) = (wanted.prepared, wanted.parked);
        let kind = Self::kind(core, spec, team, (prepared, parked));
        lock(&self.kinds).push(kind);
    }

    fn kind(
        core: &Arc<Core>,
        spec: SandboxSpec,
        team: Option<TeamId>,
        (prepared, parked): (u32, u32),
    ) -> Arc<Kind> {
        let kind = Arc::new(Kind {
            prepared: Arc::new(Pool::new(prepared as usize)),
            parked: Arc::new(Pool::new(parked as usize)),
            spec,
            team,
            least: parked,
            demand: Mutex::default(),
            refills: Mutex::default(),
        });
        for (pool, stop_at) in [
            (&kind.prepared, StopAt::Prepared),
            (&kind.parked, StopAt::Running),
        ] {
            // It must not keep its own kind alive.
            let (core, spec, team) = (Arc::clone(core), kind.spec.clone(), kind.team.clone());
            let refill = Arc::clone(pool).refill(move || {
                let (core, spec, team) = (Arc::clone(&core), spec.clone(), team.clone());
                async move { make_ready(&core, &spec, team.as_ref(), stop_at).await }
            });
            lock(&kind.refills).push(tokio::spawn(refill));
        }
        kind
    }

    /// Somebody asks for a sandbox: notes it, and gives the kind that it can be taken from. Kinds that
    /// nobody has named before are begun when the settings allow it. `team`: whose zygote's copies are to
    /// join it, if any's.
    pub(crate) fn asked(
        &self,
        core: &Arc<Core>,
        spec: &SandboxSpec,
        team: Option<&TeamId>,
    ) -> Option<Arc<Kind>> {
        let known = self.kind_for(spec, team);
        let kind = match known {
            Some(kind) => kind,
            None if core.settings().pool.adaptive && core.lasting && spec.mounts.is_empty() => {
                let kind = Self::kind(core, spec.clone(), team.cloned(), (0, 0));
                self.add(Arc::clone(&kind));
                kind
            }
            None => return None,
        };
        lock(&kind.demand).arrive(self.now());
        Some(kind)
    }

    fn add(&self, kind: Arc<Kind>) {
        let mut kinds = lock(&self.kinds);
        if kinds.len() >= KINDS {
            let free = kinds.iter().enumerate().filter(|(_, kind)| kind.least == 0);
            let idlest = free.min_by_key(|(_, kind)| lock(&kind.demand).last());
            if let Some((at, _)) = idlest {
                kinds.swap_remove(at);
            }
        }
        kinds.push(kind);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sets how many of each kind are to wait, from now on and for ever.
    pub(crate) fn follow_demand(self: &Arc<Self>, settings: Arc<Settings>) {
        let pools = Arc::downgrade(self);
        let follow = async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(pools) = pools.upgrade() else {
                    return;
                };
                pools.set_targets(&settings.pool);
            }
        };
        lock(&self.tasks).push(tokio::spawn(follow));
    }

    /// Those that were asked for most come first where memory is short.
    fn set_targets(&self, settings: &PoolSettings) {
        let now = self.now();
        let mut kinds = lock(&self.kinds).clone();
        kinds.sort_by(|a, b| lock(&b.demand).rate().total_cmp(&lock(&a.demand).rate()));
        let mut left = settings.memory.bytes();
        for kind in kinds {
            let most = u32::try_from(left / kind.each()).unwrap_or(u32::MAX);
            let bounds = Bounds {
                least: kind.least,
                most: most.max(kind.least),
                lead: LEAD,
                keep: u64::try_from(settings.keep.as_millis()).unwrap_or(u64::MAX),
            };
            let target = lock(&kind.demand).target(now, &bounds);
            let beyond = target.saturating_sub(kind.least);
            left = left.saturating_sub(u64::from(beyond) * kind.each());
            if kind.parked.level().wanted != target as usize {
                drop(kind.parked.want(target as usize));
            }
        }
        let keep = u64::try_from(settings.keep.as_millis()).unwrap_or(u64::MAX);
        lock(&self.kinds).retain(|kind| {
            let idle = lock(&kind.demand)
                .last()
                .is_none_or(|last| now - last.min(now) >= keep);
            kind.least > 0 || !idle
        });
    }

    /// The pools of all kinds.
    pub(crate) fn kinds(&self) -> Vec<KindLevel> {
        let kinds = lock(&self.kinds).clone();
        let level = |kind: &Arc<Kind>| {
            let Level {
                ready,
                wanted,
                taken,
                misses,
            } = kind.parked.level();
            KindLevel {
                spec: kind.spec.clone(),
                team: kind.team.clone(),
                level: PoolLevel {
                    pool: "parked",
                    ready,
                    wanted,
                    taken,
                    misses,
                },
                rate: lock(&kind.demand).rate(),
            }
        };
        kinds.iter().map(level).collect()
    }

    fn fill<F>(&self, pool: &Arc<Pool<Waiting>>, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<Waiting, CreateError>> + Send + 'static,
    {
        lock(&self.tasks).push(tokio::spawn(Arc::clone(pool).refill(make)));
    }

    /// The kind of ready sandboxes that can become what is asked for: the limits of processors and
    /// processes can change afterwards, everything else was decided when they were made.
    /// Those of a team come before those that are anybody's.
    pub(crate) fn kind_for(&self, spec: &SandboxSpec, team: Option<&TeamId>) -> Option<Arc<Kind>> {
        let fits = |kind: &&Arc<Kind>| kind.is_for(spec);
        let kinds = lock(&self.kinds);
        let of = |team: Option<&TeamId>| {
            let theirs = |kind: &&Arc<Kind>| kind.team.as_ref() == team;
            kinds.iter().filter(theirs).find(fits).cloned()
        };
        team.and_then(|team| of(Some(team))).or_else(|| of(None))
    }

    /// How full they are, those of all kinds together.
    pub(crate) fn levels(&self) -> Vec<PoolLevel> {
        let kinds = lock(&self.kinds).clone();
        let sum = |pool: &'static str, levels: Vec<Level>| PoolLevel {
            pool,
            ready: levels.iter().map(|level| level.ready).sum(),
            wanted: levels.iter().map(|level| level.wanted).sum(),
            taken: levels.iter().map(|level| level.taken).sum(),
            misses: levels.iter().map(|level| level.misses).sum(),
        };
        let of = |pool: fn(&Kind) -> &Arc<Pool<Waiting>>| {
            kinds.iter().map(|kind| pool(kind).level()).collect()
        };
        vec![
            sum("slots", vec![self.slots.level()]),
            sum("prepared", of(|kind| &kind.prepared)),
            sum("parked", of(|kind| &kind.parked)),
        ]
    }

    /// Waits until the pools hold what they are to hold.
    pub(crate) async fn filled(&self) {
        for pool in self.all() {
            pool.filled().await;
        }
    }

    /// As [`Pools::close`], and nothing is being made any more either: a refill that runs just now would
    /// find its spawner gone, and hold on to the engine.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        for kind in lock(&self.kinds).iter() {
            tasks.append(&mut lock(&kind.refills));
        }
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            let _ = task.await;
        }
        self.close();
    }

    /// Makes nothing more and lets go of what waits.
    pub(crate) fn close(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for pool in self.all() {
            drop(pool.close());
        }
    }

    fn all(&self) -> Vec<Arc<Pool<Waiting>>> {
        let kinds = lock(&self.kinds).clone();
        let ready = kinds
            .into_iter()
            .flat_map(|kind| [Arc::clone(&kind.prepared), Arc::clone(&kind.parked)]);
        std::iter::once(Arc::clone(&self.slots))
            .chain(ready)
            .collect()
    }
}

/// Makes one that waits.
async fn make_ready(
    core: &Core,
    spec: &SandboxSpec,
    team: Option<&TeamId>,
    stop_at: StopAt,
) -> Result<Waiting, CreateError> {
    core.calm.come().await;
    let zygote = core.zygote(spec, team).await?;
    let mut waiting = core.make(None, spec, zygote, stop_at).await?;
    if stop_at == StopAt::Running
        && let Err(error) = waiting.supply_ahead(core).await
    {
        // It serves without: an interpreter then starts when it is needed.
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "no copy of a zygote waits in a parked sandbox");
    }
    Ok(waiting)
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.close();
    }
}
