//! What the control counts, under the names that Prometheus is told (`docs/metrics.md`).

use crate::control::Control;
use crate::error::ControlError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use soulbox_model::{EndCause, SandboxState};
use soulbox_node::{KindLevel, Loaded, PoolLevel};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of creates, in seconds: from a parked sandbox's to one that waited its whole turn.
const CREATES: [f64; 14] = [
    0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];
/// Upper bounds of commits, in seconds: from a disk with a battery to one that struggles.
const COMMITS: [f64; 10] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pool {
    pool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// What tells kinds apart; there are few of them at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindOf {
    template: String,
    team: String,
    network: &'static str,
    memory: u64,
    zygote: &'static str,
}

/// What the control counts. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    creates: Histogram,
    failures: Family<Kind, Counter>,
    ends: Family<Cause, Counter>,
    commits: Histogram,
    live: Family<State, Gauge>,
    waiting: Gauge,
    pool_ready: Family<Pool, Gauge>,
    pool_wanted: Family<Pool, Gauge>,
    pool_taken: Family<Pool, Counter>,
    pool_misses: Family<Pool, Counter>,
    kind_target: Family<KindOf, Gauge>,
    kind_ready: Family<KindOf, Gauge>,
    kind_hits: Family<KindOf, Gauge<f64, AtomicU64>>,
    kind_error: Family<KindOf, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            creates: Histogram::new(CREATES),
            failures: Family::default(),
            ends: Family::default(),
            commits: Histogram::new(COMMITS),
            live: Family::default(),
            waiting: Gauge::default(),
            pool_ready: Family::default(),
            pool_wanted: Family::default(),
            pool_taken: Family::default(),
            pool_misses: Family::default(),
            kind_target: Family::default(),
            kind_ready: Family::default(),
            kind_hits: Family::default(),
            kind_error: Family::default(),
        }
    }
}

impl Metrics {
    /// Names all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "soulbox_control_create_duration_seconds",
            "Creates that made a sandbox, from the request to the sandbox, their turn included",
            self.creates.clone(),
        );
        registry.register(
            "vm_creation_duration_seconds",
            "The same as soulbox_control_create_duration_seconds, under its common name",
            self.creates.clone(),
        );
        registry.register(
            "soulbox_control_create_failures",
            "Creates that made none, by kind",
            self.failures.clone(),
        );
        registry.register(
            "soulbox_control_sandboxes_ended",
            "Sandboxes that ended, by cause",
            self.ends.clone(),
        );
        registry.register(
            "soulbox_control_sandboxes",
            "Live sandboxes, by state",
            self.live.clone(),
        );
        registry.register(
            "soulbox_control_creates_waiting",
            "Creates that wait for their turn",
            self.waiting.clone(),
        );
        registry.register(
            "soulbox_store_commit_duration_seconds",
            "Changes of the store until they were on disk, waiting included",
            self.commits.clone(),
        );
        self.register_pools(registry);
    }

    fn register_pools(&self, registry: &mut Registry) {
        registry.register(
            "soulbox_node_pool_ready",
            "What waits in a pool, by pool",
            self.pool_ready.clone(),
        );
        registry.register(
            "soulbox_node_pool_wanted",
            "What is to wait in a pool, by pool",
            self.pool_wanted.clone(),
        );
        registry.register(
            "soulbox_node_pool_taken",
            "What was taken from a pool, by pool",
            self.pool_taken.clone(),
        );
        registry.register(
            "soulbox_node_pool_misses",
            "How often a pool had nothing, by pool; then the next slower way is taken",
            self.pool_misses.clone(),
        );
        registry.register(
            "soulbox_node_kind_target",
            "Parked sandboxes that are to wait, by kind: template, team, network, bytes of memory, what its zygote has loaded",
            self.kind_target.clone(),
        );
        registry.register(
            "soulbox_node_kind_ready",
            "Parked sandboxes that wait, by kind",
            self.kind_ready.clone(),
        );
        registry.register(
            "soulbox_node_kind_hit_rate",
            "The part of those who asked for whom one was parked, 0 to 1, by kind",
            self.kind_hits.clone(),
        );
        registry.register(
            "soulbox_node_kind_forecast_error",
            "By how many sandboxes forecasts of the worst second of a quarter of an hour were off, on average, by kind",
            self.kind_error.clone(),
        );
    }

    /// Counts a create that is over.
    pub fn created<T>(&self, result: &Result<T, ControlError>, took: Duration) {
        match result {
            Ok(_) => self.creates.observe(took.as_secs_f64()),
            Err(error) => {
                let kind = error.kind();
                self.failures.get_or_create(&Kind { kind }).inc();
            }
        }
    }

    /// Counts an end.
    pub fn ended(&self, cause: EndCause) {
        let cause = cause.as_str();
        self.ends.get_or_create(&Cause { cause }).inc();
    }

    /// Counts a change of the store.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// Notes how many live and wait, and how full the pools are: what is looked at when somebody asks.
    pub fn note(&self, live: &[SandboxState], waiting: usize, pools: &[PoolLevel]) {
        for state in [SandboxState::Running, SandboxState::Paused] {
            let count = live.iter().filter(|live| **live == state).count();
            let state = state.as_str();
            self.live.get_or_create(&State { state }).set(signed(count));
        }
        self.waiting.set(signed(waiting));
        for level in pools {
            let pool = &Pool { pool: level.pool };
            self.pool_ready.get_or_create(pool).set(signed(level.ready));
            self.pool_wanted
                .get_or_create(pool)
                .set(signed(level.wanted));
            // The pool counts; this only tells.
            let taken = self.pool_taken.get_or_create(pool);
            taken.inner().store(level.taken, Ordering::Relaxed);
            let misses = self.pool_misses.get_or_create(pool);
            misses.inner().store(level.misses, Ordering::Relaxed);
        }
    }
}

impl Metrics {
    /// Notes how each kind of parked sandboxes stands; those that are gone are told no more.
    pub fn note_kinds(&self, kinds: &[KindLevel]) {
        self.kind_target.clear();
        self.kind_ready.clear();
        self.kind_hits.clear();
        self.kind_error.clear();
        for kind in kinds {
            let of = KindOf {
                template: kind.spec.template.to_string(),
                team: kind
                    .team
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                network: kind.spec.network.as_str(),
                memory: kind.spec.limits.memory.bytes(),
                zygote: kind.loaded.map_or("", Loaded::as_str),
            };
            let (target, ready) = (signed(kind.level.wanted), signed(kind.level.ready));
            self.kind_target.get_or_create(&of).set(target);
            self.kind_ready.get_or_create(&of).set(ready);
            if let Some(rate) = kind.hit_rate() {
                self.kind_hits.get_or_create(&of).set(rate);
            }
            if let Some(error) = kind.error {
                self.kind_error.get_or_create(&of).set(error);
            }
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Control {
    /// What is counted, with how things stand now.
    pub fn metrics(&self) -> &Metrics {
        let metrics = self.records.metrics();
        let live: Vec<_> = self.all().iter().map(|live| live.lock().state).collect();
        metrics.note(&live, self.admission.waiting(), &self.node.pools());
        metrics.note_kinds(&self.node.kinds());
        metrics
    }
}
