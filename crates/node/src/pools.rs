//! What the engine keeps ready: slots for everybody, and sandboxes of the kinds it was told.
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
use soulbox_wire::spawner::{Network, StopAt};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

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

    /// Begins to keep sandboxes like `spec`, which has no mounts, ready.
    /// `team`: whose they will be, if only one team's.
    pub(crate) fn keep(&self, core: &Arc<Core>, spec: SandboxSpec, team: Option<TeamId>) {
        let wanted = &core.settings().pool;
        let kind = Arc::new(Kind {
            prepared: Arc::new(Pool::new(wanted.prepared as usize)),
            parked: Arc::new(Pool::new(wanted.parked as usize)),
            spec,
            team,
        });
        for (pool, stop_at) in [
            (&kind.prepared, StopAt::Prepared),
            (&kind.parked, StopAt::Running),
        ] {
            let (core, kind) = (Arc::clone(core), Arc::clone(&kind));
            self.fill(pool, move || {
                let (core, kind) = (Arc::clone(&core), Arc::clone(&kind));
                async move {
                    core.calm.come().await;
                    let zygote = core.zygote(&kind.spec, kind.team.as_ref(), true).await?;
                    let mut waiting = core.make(None, &kind.spec, zygote, stop_at).await?;
                    if stop_at == StopAt::Running
                        && let Err(error) = waiting.supply_ahead(&core).await
                    {
                        // It serves without: an interpreter then starts when it is needed.
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, "no copy of a zygote waits in a parked sandbox");
                    }
                    Ok::<_, CreateError>(waiting)
                }
            });
        }
        lock(&self.kinds).push(kind);
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
        let fits = |kind: &&Arc<Kind>| {
            let limits = Limits {
                cpu_millis: spec.limits.cpu_millis,
                cpu_weight: spec.limits.cpu_weight,
                pids: spec.limits.pids,
                ..kind.spec.limits
            };
            *spec
                == SandboxSpec {
                    limits,
                    ..kind.spec.clone()
                }
        };
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
        let tasks = std::mem::take(&mut *lock(&self.tasks));
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
