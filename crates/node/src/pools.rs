//! What the engine keeps ready: slots for everybody, sandboxes of the kinds it was told, and of those
//! that are asked for, as many as the demand wants ([`soulbox_scheduler::demand`]).
//!
//! | Pool | What is done already | Left to do |
//! |---|---|---|
//! | slots | network namespace, cgroups | clone, tree, agent |
//! | prepared | the above, clone, tree | limits, agent |
//! | parked | everything | hand out |
//!
//! A kind is one team's, of one build of a template: what waits of a build that was replaced goes. One is
//! made at a time, while nobody waits ([`crate::calm`]), and ends when somebody lacks its place ([`Pools::place`]). Nothing in them holds a token, metadata or environment, and nothing that was used comes back.

mod follow;
mod give_way;
mod kind;

pub use kind::KindKey;
pub(crate) use kind::{Asked, Kind};

use crate::core::{Core, Waiting};
use crate::pool::{Level, Pool};
use crate::zygotes::{Loaded, Script};
use soulbox_model::{SandboxSpec, TeamId};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;
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
    /// Whose turn it is to make one that will wait: more at once would keep the spawner, which makes one
    /// after the other, from those who wait for theirs.
    turn: Arc<Semaphore>,
    begun: Instant,
}

/// Kinds that are kept at once; the one that nobody has asked for longest makes room.
const KINDS: usize = 64;

/// The pool of one kind, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct KindLevel {
    /// What they are.
    pub spec: SandboxSpec,
    /// Whose, if only one team's.
    pub team: Option<TeamId>,
    /// What the interpreter has loaded whose copy waits in each, if any does.
    pub loaded: Option<Loaded>,
    /// How full it is.
    pub level: PoolLevel,
    /// How many were asked for.
    pub asked: u64,
    /// How many are asked for in a second, as a moving average.
    pub rate: f64,
    /// How many are to wait by the forecast.
    pub foreseen: u32,
    /// By how much forecasts were off, on average; none before the first.
    pub error: Option<f64>,
}

impl KindLevel {
    /// The part of those who asked for whom one waited, 0 to 1; none where nobody has asked.
    pub fn hit_rate(&self) -> Option<f64> {
        let (taken, asked) = (self.level.taken, self.asked.max(self.level.taken));
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = taken as f64 / asked as f64;
        (asked > 0).then_some(rate)
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
            turn: Arc::new(Semaphore::new(1)),
            begun: Instant::now(),
        };
        let (core, turn) = (Arc::clone(core), Arc::clone(&pools.turn));
        let refill = Arc::clone(&pools.slots).refill(move || {
            let (core, turn) = (Arc::clone(&core), Arc::clone(&turn));
            async move {
                let _turn = turn.acquire().await;
                core.make_slot_ready().await
            }
        });
        lock(&pools.tasks).push(tokio::spawn(refill));
        pools
    }

    /// Begins to keep sandboxes like `spec`, which has no mounts, ready, as many as the settings say and
    /// more if they are asked for. `team`: whose they will be, if only one team's;
    /// `script`: what they will run, if only that.
    pub(crate) fn keep(
        &self,
        core: &Arc<Core>,
        spec: &SandboxSpec,
        team: Option<&TeamId>,
        script: Option<Script>,
    ) {
        let template = match core.template_now(&spec.template) {
            Ok(template) => template,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, template = %spec.template, "no sandboxes of it are kept ready");
                return;
            }
        };
        let joined = team.and_then(|_| core.joins(&template, script));
        let asked = Asked {
            template: &template,
            spec,
            team,
            joined,
        };
        let wanted = &core.settings().pool;
        let kind = Kind::begin(core, &self.turn, &asked, (wanted.prepared, wanted.parked));
        lock(&self.kinds).push(kind);
    }

    /// Somebody asks for a sandbox: notes it, and gives the kinds that it can be taken from, the best first.
    /// Those of a team come before those that are anybody's; one in which a Python waits is better than none for
    /// who wants a Node.js. What nobody has asked for before is a kind
    /// from now on if the settings allow it.
    pub(crate) fn asked(&self, core: &Arc<Core>, asked: &Asked<'_>) -> [Option<Arc<Kind>>; 3] {
        let mut kinds = lock(&self.kinds);
        let lowers = core.may_connect();
        let of = |kinds: &[Arc<Kind>], team: Option<&TeamId>, joined| {
            let mut fit = kinds.iter().filter(|kind| kind.is_for(asked, lowers));
            fit.find(|kind| kind.team.as_ref() == team && kind.joined == joined)
                .cloned()
        };
        let mut own = of(&kinds, asked.team, asked.joined);
        let others = match asked.joined {
            Some(Loaded::JavaScript) => of(&kinds, asked.team, Some(Loaded::Plain)),
            _ => None,
        };
        let anybodys = match asked.team {
            Some(_) => of(&kinds, None, None),
            None => None,
        };
        let counts = own
            .as_ref()
            .or(anybodys.as_ref().filter(|_| asked.joined.is_none()));
        let counts = match counts {
            Some(kind) => Some(Arc::clone(kind)),
            None if core.settings().pool.adaptive
                && core.lasting
                && asked.spec.mounts.is_empty() =>
            {
                let kind = self.renew(core, asked, &mut kinds);
                own = Some(Arc::clone(&kind));
                Some(kind)
            }
            None => None,
        };
        drop(kinds);
        if let Some(kind) = counts {
            lock(&kind.demand).arrive(self.now());
        }
        [own, others, anybodys]
    }

    /// Begins a kind. It takes the place of the one of an older build, with all that is known of the demand,
    /// but nothing that waits.
    fn renew(&self, core: &Arc<Core>, asked: &Asked<'_>, kinds: &mut Vec<Arc<Kind>>) -> Arc<Kind> {
        let of_another_build = |kind: &Arc<Kind>| {
            kind.spec == *asked.spec
                && kind.team.as_ref() == asked.team
                && kind.joined == asked.joined
        };
        let old = kinds.iter().position(of_another_build);
        let old = old.map(|at| kinds.swap_remove(at));
        let least = old.as_ref().map_or((0, 0), |old| old.least);
        let kind = Kind::begin(core, &self.turn, asked, least);
        if let Some(old) = old {
            *lock(&kind.demand) = std::mem::take(&mut *lock(&old.demand));
            let foreseen = old.foreseen.load(Ordering::Relaxed);
            kind.foreseen.store(foreseen, Ordering::Relaxed);
        }
        while kinds.len() >= KINDS {
            let free = kinds.iter().enumerate().filter(|(_, kind)| !kind.is_kept());
            let idlest = free.min_by_key(|(_, kind)| lock(&kind.demand).last());
            let Some(at) = idlest.map(|(at, _)| at) else {
                break;
            };
            kinds.swap_remove(at);
        }
        kinds.push(Arc::clone(&kind));
        kind
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
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
            let demand = lock(&kind.demand);
            KindLevel {
                spec: kind.spec.clone(),
                team: kind.team.clone(),
                loaded: kind.joined,
                level: PoolLevel {
                    pool: "parked",
                    ready,
                    wanted,
                    taken,
                    misses,
                },
                asked: demand.total(),
                rate: demand.rate(),
                foreseen: kind.foreseen.load(Ordering::Relaxed),
                error: *lock(&kind.error),
            }
        };
        kinds.iter().map(level).collect()
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

impl Drop for Pools {
    fn drop(&mut self) {
        self.close();
    }
}
