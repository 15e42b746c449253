//! Pools of things that are slow to make and the same for everybody.
//!
//! An empty pool is slower, never an error: [`Pool::take`] gives what is there, and whoever gets
//! nothing makes one himself. Refilling happens in the background, one at a time, so that it
//! never takes more than one of the machine's processors from those who wait.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a refill that failed waits before the next, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How full a pool is, and what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// How many wait.
    pub ready: usize,
    /// How many are to wait.
    pub wanted: usize,
    /// How many were taken.
    pub taken: u64,
    /// How often there was none to take, although some were to wait.
    pub misses: u64,
}

/// Things that wait, and how many are wanted.
pub struct Pool<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    wanted: usize,
    taken: u64,
    misses: u64,
}

impl<T: Send + 'static> Pool<T> {
    /// An empty pool that is to hold `wanted` things.
    pub fn new(wanted: usize) -> Self {
        let state = State {
            ready: VecDeque::new(),
            wanted,
            taken: 0,
            misses: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, if there is one, and lets another be made.
    pub fn take(&self) -> Option<T> {
        let taken = {
            let mut state = self.state();
            let taken = state.ready.pop_front();
            match taken.is_some() {
                true => state.taken += 1,
                false => state.misses += u64::from(state.wanted > 0),
            }
            taken
        };
        self.changed.notify_waiters();
        taken
    }

    /// Takes one that nobody asked for, the oldest.
    pub fn give_way(&self) -> Option<T> {
        let given = self.state().ready.pop_front();
        self.changed.notify_waiters();
        given
    }

    /// How full it is.
    pub fn level(&self) -> Level {
        let state = self.state();
        Level {
            ready: state.ready.len(),
            wanted: state.wanted,
            taken: state.taken,
            misses: state.misses,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.state().ready.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wants so many from now on. Gives out what is too many, the oldest first.
    pub fn want(&self, wanted: usize) -> Vec<T> {
        let mut state = self.state();
        state.wanted = wanted;
        let surplus = state.ready.len().saturating_sub(wanted);
        let surplus = state.ready.drain(..surplus).collect();
        drop(state);
        self.changed.notify_waiters();
        surplus
    }

    /// Wants nothing more and gives out what there is.
    pub fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.wanted = 0;
        let ready = state.ready.drain(..).collect();
        drop(state);
        self.changed.notify_waiters();
        ready
    }

    /// Waits until as many wait as are wanted.
    pub async fn filled(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.ready.len() >= state.wanted {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Refills the pool for ever with what `make` makes.
    pub async fn refill<E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
        self: Arc<Self>,
        make: impl Fn() -> F,
    ) {
        let mut retry = RETRY.0;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let lacks = {
                let state = self.state();
                state.ready.len() < state.wanted
            };
            if !lacks {
                changed.await;
                continue;
            }
            match make().await {
                Ok(thing) => {
                    retry = RETRY.0;
                    self.state().ready.push_back(thing);
                    self.changed.notify_waiters();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot refill a pool");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_pool_refills_what_was_taken_and_survives_failures() {
        let pool = Arc::new(Pool::new(3));
        let made = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&made);
        let task = tokio::spawn(Arc::clone(&pool).refill(move || {
            let n = counter.fetch_add(1, Ordering::Relaxed);
            async move { if n == 1 { Err("no") } else { Ok(n) } }
        }));
        pool.filled().await;
        assert_eq!(pool.len(), 3);
        assert_eq!(pool.take(), Some(0));
        pool.filled().await;
        assert_eq!(made.load(Ordering::Relaxed), 5);
        let level = pool.level();
        assert_eq!((level.ready, level.taken, level.misses), (3, 1, 0));
        assert_eq!(pool.want(1).len(), 2);
        assert_eq!((pool.len(), pool.level().wanted), (1, 1));
        drop(pool.want(3));
        pool.filled().await;
        assert_eq!(pool.close().len(), 3);
        assert_eq!(pool.take(), None);
        assert_eq!(pool.level().misses, 0, "none is wanted any more");
        task.abort();
    }
}
