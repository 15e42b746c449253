//! What live sandboxes use, looked at from outside every few seconds and kept for a while.

use crate::control::Control;
use crate::live::Live;
use soulbox_model::{ByteSize, Moment};
use soulbox_node::Metrics;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often it is looked whose turn it is; a new sandbox has its first sample by then.
const TICK: Duration = Duration::from_secs(1);

/// How many are looked at at once: the spawner answers one after the other, and creates wait there too.
const AT_ONCE: usize = 2;

/// What a sandbox used at a moment. Amounts are in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Moment,
    /// How much of the processors that it may have was in use since the sample before, 0 to 100.
    pub cpu_used_pct: f32,
    /// The most processor time that it may have, in thousandths of a CPU.
    pub cpu_millis: u32,
    /// Memory without page cache.
    pub memory: u64,
    /// The most memory it may have.
    pub memory_total: u64,
    /// Page cache, which Linux takes back when it is needed.
    pub cache: u64,
    /// What it has written.
    pub disk: u64,
    /// The most it may write.
    pub disk_total: u64,
}

/// The samples of one sandbox, the oldest first.
#[derive(Debug)]
pub struct Samples {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ring: VecDeque<Sample>,
    /// When processor time was looked at, and what it was.
    before: (Instant, Duration),
    /// Whether somebody looks now.
    looking: bool,
    /// When it was looked at.
    looked: Option<Instant>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        let state = State {
            ring: VecDeque::new(),
            before: (Instant::now(), Duration::ZERO),
            looking: false,
            looked: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those from `from` to `to`, both included.
    pub fn between(&self, from: Option<Moment>, to: Option<Moment>) -> Vec<Sample> {
        let fits = |sample: &&Sample| {
            from.is_none_or(|from| sample.at >= from) && to.is_none_or(|to| sample.at <= to)
        };
        self.state().ring.iter().filter(fits).copied().collect()
    }

    /// The newest.
    pub fn last(&self) -> Option<Sample> {
        self.state().ring.back().copied()
    }

    /// Takes the turn to look, if it is due and nobody looks.
    fn begin(&self, every: Duration) -> bool {
        let mut state = self.state();
        let due = state.looked.is_none_or(|looked| looked.elapsed() >= every);
        let begins = due && !state.looking;
        state.looking |= begins;
        begins
    }

    /// Gives the turn back, with what was seen.
    fn end(&self, seen: Option<Metrics>, disk: ByteSize, most: usize) {
        let mut state = self.state();
        state.looking = false;
        state.looked = Some(Instant::now());
        let Some(seen) = seen else {
            return;
        };
        let now = Instant::now();
        let (then, cpu_then) = state.before;
        let cpu = seen.cpu.unwrap_or(cpu_then);
        let within = now.duration_since(then);
        // What one that was taken over used before belongs to no sample.
        let may = within.mul_f64(f64::from(seen.cpu_millis) / 1000.0);
        let used = match state.ring.is_empty() && cpu > may {
            true => Duration::ZERO,
            false => cpu.saturating_sub(cpu_then),
        };
        state.before = (now, cpu);
        let sample = sample(&seen, disk, used, within);
        while state.ring.len() >= most.max(1) {
            state.ring.pop_front();
        }
        state.ring.push_back(sample);
    }
}

fn sample(seen: &Metrics, disk: ByteSize, used: Duration, within: Duration) -> Sample {
    let may = within.as_secs_f64() * f64::from(seen.cpu_millis.max(1)) / 1000.0;
    let share = match may > 0.0 {
        true => used.as_secs_f64() / may * 100.0,
        false => 0.0,
    };
    // A figure for people: what is cut off is far below what is measured.
    #[allow(clippy::cast_possible_truncation)]
    let cpu_used_pct = share.clamp(0.0, 100.0) as f32;
    let cache = seen.cache.map_or(0, |cache| cache.bytes());
    let memory = seen.memory.map_or(0, |memory| memory.bytes());
    Sample {
        at: Moment::now(),
        cpu_used_pct,
        cpu_millis: seen.cpu_millis,
        memory: memory.saturating_sub(cache),
        memory_total: seen.memory_limit.bytes(),
        cache,
        disk: seen.disk.map_or(0, |disk| disk.bytes()),
        disk_total: seen.disk_limit.unwrap_or(disk).bytes(),
    }
}

/// Looks at all live sandboxes, each in its turn, for as long as there is a control.
pub(crate) async fn look(control: Weak<Control>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        tokio::time::sleep(TICK).await;
        let Some(control) = control.upgrade() else {
            return;
        };
        for live in control.all() {
            control.tell_memory_kills(&live).await;
            if !live.samples.begin(control.settings.server.sample_interval) {
                continue;
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let most = control.settings.server.samples as usize;
            // Not under a time limit: an answer of the spawner that nobody waits for would be taken for
            // the answer to the next question.
            tokio::spawn(async move {
                look_at(&live, most).await;
                drop(place);
            });
        }
    }
}

async fn look_at(live: &Live, most: usize) {
    let seen = match live.sandbox().await {
        Some(sandbox) => sandbox.metrics().await.ok(),
        None => None,
    };
    let disk = live.lock().limits.disk;
    live.samples.end(seen, disk, most);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: ByteSize = ByteSize(5000);

    fn seen(cpu: Duration) -> Metrics {
        Metrics {
            cpu: Some(cpu),
            cpu_millis: 2000,
            memory: Some(ByteSize(300)),
            cache: Some(ByteSize(100)),
            memory_limit: ByteSize(1000),
            disk: None,
            disk_limit: None,
            pids: Some(1),
        }
    }

    #[test]
    fn a_share_is_of_what_the_sandbox_may_have() {
        let one_second = Duration::from_secs(1);
        let half = sample(&seen(one_second), DISK, one_second, one_second);
        assert!((half.cpu_used_pct - 50.0).abs() < 0.01, "{half:?}");
        assert_eq!((half.memory, half.cache), (200, 100));
        assert_eq!(half.disk_total, DISK.bytes());
        let all = sample(&seen(one_second), DISK, one_second * 9, one_second);
        assert!(all.cpu_used_pct <= 100.0);
        let at_once = sample(&seen(one_second), DISK, one_second, Duration::ZERO);
        assert!(at_once.cpu_used_pct.abs() < f32::EPSILON);
    }

    #[test]
    fn what_is_kept_is_bounded_and_one_looks_at_a_time() {
        let samples = Samples::new();
        for _ in 0..5 {
            assert!(samples.begin(Duration::ZERO));
            assert!(!samples.begin(Duration::ZERO), "somebody looks already");
            samples.end(Some(seen(Duration::ZERO)), DISK, 3);
        }
        assert_eq!(samples.between(None, None).len(), 3);
        assert!(!samples.begin(Duration::from_secs(60)), "it is not due");
        let before = Some(Moment::from_millis(1));
        assert!(samples.between(None, before).is_empty());
        assert!(samples.last().is_some());
    }
}
