//! Ready sandboxes of one kind, and what refills them.

use super::lock;
use crate::core::{Core, Waiting};
use crate::node::CreateError;
use crate::pool::Pool;
use crate::template::Template;
use crate::zygotes::{Copies, Loaded};
use serde::{Deserialize, Serialize};
use soulbox_model::{Limits, SandboxSpec, TeamId};
use soulbox_scheduler::Demand;
use soulbox_wire::spawner::StopAt;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What one that waits is counted with in the memory of the pools, in bytes: alone, with a copy of a Python in
/// it, and with one that has packages loaded. Their cgroups say 0.6, 2.5 and 4.2 MB.
const EACH: (u64, u64, u64) = (1024 * 1024, 3 * 1024 * 1024, 6 * 1024 * 1024);

/// The same for one in which a Node.js waits. Its cgroup says 16 MB.
const EACH_JAVASCRIPT: u64 = 16 * 1024 * 1024;

/// What somebody asks for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The build of the template that it is to be made of.
    pub(crate) template: &'a Arc<Template>,
    /// All else.
    pub(crate) spec: &'a SandboxSpec,
    /// Whose it will be.
    pub(crate) team: Option<&'a TeamId>,
    /// What the team's zygote has loaded whose copies are to join it, if any's.
    pub(crate) joined: Option<Loaded>,
}

/// What tells kinds apart, whatever their template is built of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindKey {
    /// What they are.
    pub spec: SandboxSpec,
    /// Whose they will be; anybody's if none's.
    pub team: Option<TeamId>,
    /// What the team's zygote has loaded whose copies are to join them, if any's.
    pub joined: Option<Loaded>,
}

/// Ready sandboxes of one kind.
pub(crate) struct Kind {
    /// What they are.
    pub(crate) spec: SandboxSpec,
    /// The build of the template that they are made of.
    pub(super) template: Arc<Template>,
    /// Whose they will be; anybody's if none's.
    pub(super) team: Option<TeamId>,
    /// What the team's zygote has loaded whose copies are to join them, if any's.
    pub(super) joined: Option<Loaded>,
    /// Made but for the agent.
    pub(crate) prepared: Arc<Pool<Waiting>>,
    /// Complete.
    pub(crate) parked: Arc<Pool<Waiting>>,
    /// How many prepared and parked ones are to wait whatever the demand.
    pub(super) least: (u32, u32),
    pub(super) demand: Mutex<Demand>,
    /// How many are to wait by the forecast, and by how much those were off.
    pub(super) foreseen: AtomicU32,
    pub(super) error: Mutex<Option<f64>>,
    /// What refills it; ended with it.
    pub(super) refills: Mutex<Vec<JoinHandle<()>>>,
}

impl Kind {
    /// Begins to keep `least` prepared and parked ones ready. They are made in turn.
    pub(super) fn begin(
        core: &Arc<Core>,
        turn: &Arc<Semaphore>,
        asked: &Asked<'_>,
        least: (u32, u32),
    ) -> Arc<Self> {
        let kind = Arc::new(Self {
            prepared: Arc::new(Pool::new(least.0 as usize)),
            parked: Arc::new(Pool::new(least.1 as usize)),
            spec: asked.spec.clone(),
            template: Arc::clone(asked.template),
            team: asked.team.cloned(),
            joined: asked.joined,
            least,
            demand: Mutex::default(),
            foreseen: AtomicU32::new(0),
            error: Mutex::default(),
            refills: Mutex::default(),
        });
        for (pool, stop_at) in [
            (&kind.prepared, StopAt::Prepared),
            (&kind.parked, StopAt::Running),
        ] {
            // It must not keep its own kind alive.
            let (core, turn, spec) = (Arc::clone(core), Arc::clone(turn), kind.spec.clone());
            let copies = Copies::of(kind.team.as_ref(), kind.joined);
            let refill = Arc::clone(pool).refill(move || {
                let (core, turn) = (Arc::clone(&core), Arc::clone(&turn));
                let (spec, copies) = (spec.clone(), copies.clone());
                async move {
                    let _turn = turn.acquire().await;
                    make_ready(&core, &spec, copies.as_ref(), stop_at).await
                }
            });
            lock(&kind.refills).push(tokio::spawn(refill));
        }
        kind
    }

    /// What tells it from others.
    pub(super) fn key(&self) -> KindKey {
        KindKey {
            spec: self.spec.clone(),
            team: self.team.clone(),
            joined: self.joined,
        }
    }

    /// What one is counted with, in bytes.
    pub(super) fn each(&self) -> u64 {
        match self.joined {
            None => EACH.0,
            Some(Loaded::Plain) => EACH.1,
            Some(Loaded::Packages | Loaded::Kernel) => EACH.2,
            Some(Loaded::JavaScript) => EACH_JAVASCRIPT,
        }
    }

    /// Whether some are to wait whatever the demand.
    pub(super) fn is_kept(&self) -> bool {
        self.least != (0, 0)
    }

    /// Whether they can become what is asked for: the limits of processors can change afterwards. So
    /// can that of processes, if it is `lowers`ed: the resource limit of the same name cannot be changed any more
    /// once a sandbox is made, a cgroup's can, which is enough for less than that. Everything else
    /// was decided when they were made.
    pub(super) fn is_for(&self, asked: &Asked<'_>, lowers: bool) -> bool {
        let limits = asked.spec.limits;
        let made = SandboxSpec {
            limits: Limits {
                cpu_millis: limits.cpu_millis,
                cpu_weight: limits.cpu_weight,
                pids: limits.pids,
                ..self.spec.limits
            },
            ..self.spec.clone()
        };
        let (made_pids, pids) = (self.spec.limits.pids, limits.pids);
        Arc::ptr_eq(&self.template, asked.template)
            && *asked.spec == made
            && (pids == made_pids || lowers && pids < made_pids)
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

/// Makes one that waits, once nobody waits for one.
async fn make_ready(
    core: &Core,
    spec: &SandboxSpec,
    copies: Option<&Copies>,
    stop_at: StopAt,
) -> Result<Waiting, CreateError> {
    loop {
        let _making = core.rest().await;
        let zygote = core.zygote(spec, copies).await?;
        let mut waiting = core.make(None, spec, zygote, stop_at).await?;
        if stop_at == StopAt::Running {
            complete(core, copies, &mut waiting).await?;
        }
        if !core.places.are_lacking() {
            return Ok(waiting);
        }
        waiting.end().await;
    }
}

/// Does for one that runs what can be done before it is asked for.
async fn complete(
    core: &Core,
    copies: Option<&Copies>,
    waiting: &mut Waiting,
) -> Result<(), CreateError> {
    waiting.tell(core).await?;
    let supplied = match copies.map(|copies| copies.loaded) {
        Some(Loaded::JavaScript) => waiting.start_ahead(core).await.map_err(Into::into),
        _ => waiting.supply_ahead(core).await,
    };
    if let Err(error) = supplied {
        // It serves without: an interpreter then starts when it is needed.
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "no interpreter waits in a parked sandbox");
    }
    Ok(())
}
