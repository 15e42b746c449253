//! What the engine keeps ready: slots, prepared sandboxes, parked sandboxes.
//!
//! | Pool | What is done already | Left to do |
//! |---|---|---|
//! | slots | network namespace, cgroups | clone, tree, agent |
//! | prepared | the above, clone, tree | limits, agent |
//! | parked | everything | hand out |
//!
//! Nothing in them holds a token, metadata or environment, and nothing that was used comes back.

use crate::node::{Core, CreateError, Waiting};
use crate::pool::Pool;
use soulbox_model::SandboxSpec;
use soulbox_wire::spawner::{Network, StopAt};
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The pools of an engine.
pub(crate) struct Pools {
    /// What the prepared and parked sandboxes are.
    pub(crate) spec: SandboxSpec,
    pub(crate) slots: Arc<Pool<Waiting>>,
    pub(crate) prepared: Arc<Pool<Waiting>>,
    pub(crate) parked: Arc<Pool<Waiting>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Pools {
    /// Makes the pools that the settings ask for and begins to fill them.
    pub(crate) fn start(core: &Arc<Core>) -> Self {
        let wanted = &core.settings().pool;
        let spec = core.pooled_spec();
        let mut pools = Self {
            slots: Arc::new(Pool::new(wanted.slots as usize)),
            prepared: Arc::new(Pool::new(wanted.prepared as usize)),
            parked: Arc::new(Pool::new(wanted.parked as usize)),
            tasks: Vec::new(),
            spec,
        };
        let shared = Arc::clone(core);
        pools.fill(Arc::clone(&pools.slots), move || {
            let core = Arc::clone(&shared);
            async move { core.make_slot(Network::None).await }
        });
        for (pool, stop_at) in [
            (Arc::clone(&pools.prepared), StopAt::Prepared),
            (Arc::clone(&pools.parked), StopAt::Running),
        ] {
            let (core, spec) = (Arc::clone(core), pools.spec.clone());
            pools.fill(pool, move || {
                let (core, spec) = (Arc::clone(&core), spec.clone());
                async move { core.make(None, &spec, stop_at).await }
            });
        }
        pools
    }

    fn fill<F>(&mut self, pool: Arc<Pool<Waiting>>, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<Waiting, CreateError>> + Send + 'static,
    {
        self.tasks.push(tokio::spawn(pool.refill(make)));
    }

    /// Whether a pooled sandbox can become what is asked for: limits of cgroups can change
    /// afterwards, everything else was decided when it was made.
    pub(crate) fn fit(&self, spec: &SandboxSpec) -> bool {
        let limits = &self.spec.limits;
        let pooled = SandboxSpec {
            limits: soulbox_model::Limits {
                disk: limits.disk,
                memory: limits.memory,
                ..spec.limits
            },
            ..self.spec.clone()
        };
        *spec == pooled
    }

    /// Waits until the pools hold what they are to hold.
    pub(crate) async fn filled(&self) {
        for pool in [&self.slots, &self.prepared, &self.parked] {
            pool.filled().await;
        }
    }

    /// Makes nothing more and lets go of what waits.
    pub(crate) fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        for pool in [&self.slots, &self.prepared, &self.parked] {
            drop(pool.close());
        }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.close();
    }
}
